-- The same as for Postgres.

CREATE TABLE events (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL CHECK (length(id) = 36),
    place INTEGER,
    at TEXT NOT NULL,
    user_id TEXT NOT NULL,
    project_id TEXT,
    request_id TEXT NOT NULL,
    image_id TEXT NOT NULL CHECK (length(image_id) = 36),
    image_name TEXT,
    owner TEXT,
    member_id TEXT,
    deed TEXT NOT NULL CHECK (deed IN ('create', 'update', 'delete')),
    old_status TEXT,
    new_status TEXT,
    member_created_at TEXT,
    reason TEXT,
    owner_changed INTEGER NOT NULL DEFAULT 0 CHECK (owner_changed IN (0, 1)),
    image TEXT,
    changed TEXT,
    bytes INTEGER NOT NULL GENERATED ALWAYS AS (256 + length(CAST(user_id AS BLOB)) + length(CAST(coalesce(project_id, '') AS BLOB))
        + length(CAST(request_id AS BLOB)) + length(CAST(coalesce(image_name, '') AS BLOB))
        + length(CAST(coalesce(owner, '') AS BLOB)) + length(CAST(coalesce(member_id, '') AS BLOB))
        + length(CAST(coalesce(image, '') AS BLOB)) + length(CAST(coalesce(changed, '') AS BLOB))) STORED,
    CHECK ((member_id IS NULL) = (changed IS NOT NULL)),
    CHECK (member_id IS NULL OR image IS NULL),
    CHECK ((member_id IS NULL) = (member_created_at IS NULL))
) STRICT;

CREATE INDEX events_of_member ON events (image_id, member_id, number);
CREATE INDEX events_of_new_owners ON events (image_id, number) WHERE owner_changed;
CREATE UNIQUE INDEX events_in_order ON events (place) WHERE place IS NOT NULL;
CREATE INDEX events_without_place ON events (number) WHERE place IS NULL;

CREATE TABLE event_order (
    only_row INTEGER NOT NULL PRIMARY KEY DEFAULT 1 CHECK (only_row = 1),
    last_place INTEGER NOT NULL,
    first_number INTEGER
) STRICT;

INSERT INTO event_order (last_place) VALUES (0);

CREATE TABLE event_sinks (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    fence INTEGER NOT NULL,
    leased_until REAL NOT NULL,
    settled INTEGER NOT NULL,
    claimed INTEGER NOT NULL CHECK (claimed >= settled)
) STRICT, WITHOUT ROWID;

CREATE TABLE event_dead_letters (
    sink TEXT NOT NULL,
    number INTEGER NOT NULL REFERENCES events (number),
    why TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (sink, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX event_dead_letters_by_number ON event_dead_letters (number);
