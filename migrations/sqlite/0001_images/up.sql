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
    updated_at TEXT NOT NULL,
    memory_bytes INTEGER NOT NULL CHECK (memory_bytes >= 0),
    -- Both as JSON, and last: what stands before them is read without them.
    tags TEXT NOT NULL CHECK (json_type(tags) = 'array'),
    properties TEXT NOT NULL CHECK (json_type(properties) = 'object')
) STRICT, WITHOUT ROWID;

CREATE INDEX images_by_time ON images (visibility, hidden, created_at DESC, id DESC);
CREATE INDEX images_by_owner_and_time ON images (owner, visibility, hidden, created_at DESC, id DESC);
CREATE INDEX images_by_name ON images (visibility, hidden, coalesce(name, ''), created_at DESC, id DESC);
CREATE INDEX images_by_owner_and_name ON images (owner, visibility, hidden, coalesce(name, ''), created_at DESC, id DESC);

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
