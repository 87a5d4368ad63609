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
    updated_at timestamp NOT NULL
);

CREATE INDEX images_by_owner ON images (owner, created_at DESC, id DESC);
CREATE INDEX images_public ON images (created_at DESC, id DESC) WHERE visibility = 'public';

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

CREATE TABLE image_tags (
    image_id uuid NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    tag text COLLATE "C" NOT NULL,
    PRIMARY KEY (image_id, tag)
);

CREATE INDEX image_tags_by_tag ON image_tags (tag, image_id);

CREATE TABLE image_properties (
    image_id uuid NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL CHECK (name <> ''),
    value text COLLATE "C" NOT NULL,
    PRIMARY KEY (image_id, name)
);
