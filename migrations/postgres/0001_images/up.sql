-- Images and their members. Times are UTC, in microseconds. Texts compare by bytes (COLLATE "C"), as in Rust and SQLite.

-- Every id an image ever had: an id is never given twice, whatever races.
CREATE TABLE image_ids (
    id uuid PRIMARY KEY
);

CREATE TABLE images (
    id uuid PRIMARY KEY REFERENCES image_ids (id),
    owner text COLLATE "C" CHECK (length(owner) BETWEEN 1 AND 255),
    visibility text COLLATE "C" NOT NULL CHECK (visibility IN ('public', 'community', 'shared', 'private')),
    status text COLLATE "C" NOT NULL CHECK (status IN ('queued', 'saving', 'uploading', 'importing', 'active',
        'deactivated', 'killed', 'deleted', 'pending_delete')),
    name text COLLATE "C",
    container_format text COLLATE "C",
    disk_format text COLLATE "C",
    min_disk integer NOT NULL CHECK (min_disk >= 0),
    min_ram integer NOT NULL CHECK (min_ram >= 0),
    protected boolean NOT NULL,
    hidden boolean NOT NULL,
    created_at timestamp NOT NULL,
    updated_at timestamp NOT NULL,
    -- What the record takes in memory, as core-domain counts it (Image::memory_bytes): pages and batches are bounded by it.
    memory_bytes integer NOT NULL CHECK (memory_bytes >= 0),
    tags text[] COLLATE "C" NOT NULL,
    properties jsonb NOT NULL CHECK (jsonb_typeof(properties) = 'object')
);

-- Lists as ranges of indexes (docs/adr/0007): each part of the one list statement, store-diesel/src/images/list.rs, is read from
-- one of these, in its order, no further than the page needs. A list always asks for images that are hidden or for those that
-- are not.

-- Everybody's public and community images; all images, for an admin.
CREATE INDEX images_by_time ON images (visibility, hidden, created_at DESC, id DESC);
-- The asking project's own, and a list of one owner's.
CREATE INDEX images_by_owner_and_time ON images (owner, visibility, hidden, created_at DESC, id DESC);
-- The same by name: `name=` (how clients find an image that they were given the name of) and `sort=name`. An image without a name
-- is ordered as if it were the empty one.
CREATE INDEX images_by_name ON images (visibility, hidden, coalesce(name, ''), created_at DESC, id DESC);
CREATE INDEX images_by_owner_and_name ON images (owner, visibility, hidden, coalesce(name, ''), created_at DESC, id DESC);
-- Tags and properties (docs/adr/0011). jsonb_path_ops keeps a hash of each name with its value, so that a value may be of any
-- length; jsonb_ops keeps the value itself and refuses one of more than some 2,700 bytes. A tag has at most 1,020 bytes. Without
-- fastupdate no list has to read what others have inserted and not yet sorted in.
CREATE INDEX images_by_tag ON images USING gin (tags) WITH (fastupdate = off);
CREATE INDEX images_by_property ON images USING gin (properties jsonb_path_ops) WITH (fastupdate = off);

CREATE TABLE image_members (
    image_id uuid NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    member_id text COLLATE "C" NOT NULL CHECK (length(member_id) BETWEEN 1 AND 255),
    status text COLLATE "C" NOT NULL CHECK (status IN ('pending', 'accepted', 'rejected')),
    created_at timestamp NOT NULL,
    updated_at timestamp NOT NULL,
    -- The image's own created_at, which never changes: «shared with me» is read from one index, in order.
    image_created_at timestamp NOT NULL,
    PRIMARY KEY (image_id, member_id)
);

CREATE INDEX image_members_by_member ON image_members (member_id, status, image_created_at DESC, image_id DESC);
CREATE INDEX image_members_in_order ON image_members (image_id, created_at, member_id);
