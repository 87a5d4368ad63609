-- The same as for Postgres. Ids are lower-case hyphenated text, which sorts as the UUID does; times are text as well
-- («2026-01-31 12:00:00.000001», UTC, trailing zeros left out by threes), which sorts as the time does; booleans are 0 or 1.

CREATE TABLE image_ids (
    id TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 36)
) STRICT, WITHOUT ROWID;

CREATE TABLE images (
    id TEXT NOT NULL PRIMARY KEY REFERENCES image_ids (id),
    owner TEXT CHECK (length(owner) BETWEEN 1 AND 255),
    visibility TEXT NOT NULL CHECK (visibility IN ('public', 'community', 'shared', 'private')),
    status TEXT NOT NULL CHECK (status IN ('queued', 'saving', 'uploading', 'importing', 'active',
        'deactivated', 'killed', 'deleted', 'pending_delete')),
    name TEXT,
    container_format TEXT,
    disk_format TEXT,
    min_disk INTEGER NOT NULL CHECK (min_disk >= 0),
    min_ram INTEGER NOT NULL CHECK (min_ram >= 0),
    protected INTEGER NOT NULL CHECK (protected IN (0, 1)),
    hidden INTEGER NOT NULL CHECK (hidden IN (0, 1)),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX images_by_owner ON images (owner, created_at DESC, id DESC);
CREATE INDEX images_public ON images (created_at DESC, id DESC) WHERE visibility = 'public';

CREATE TABLE image_members (
    image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    member_id TEXT NOT NULL CHECK (length(member_id) BETWEEN 1 AND 255),
    status TEXT NOT NULL CHECK (status IN ('pending', 'accepted', 'rejected')),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    image_created_at TEXT NOT NULL,
    PRIMARY KEY (image_id, member_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX image_members_by_member ON image_members (member_id, status, image_created_at DESC, image_id DESC);
CREATE INDEX image_members_in_order ON image_members (image_id, created_at, member_id);

CREATE TABLE image_tags (
    image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    PRIMARY KEY (image_id, tag)
) STRICT, WITHOUT ROWID;

CREATE INDEX image_tags_by_tag ON image_tags (tag, image_id);

CREATE TABLE image_properties (
    image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    name TEXT NOT NULL CHECK (name <> ''),
    value TEXT NOT NULL,
    PRIMARY KEY (image_id, name)
) STRICT, WITHOUT ROWID;
