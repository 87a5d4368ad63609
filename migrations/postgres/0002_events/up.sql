-- Events (docs/adr/0010): what changed, who changed it and for which request, kept in the transaction of the change. They are
-- histories of memberships and wait here to be told. A program of the release before makes changes without events, so a
-- history and what is told are whole from the moment the last of those is gone.

CREATE TABLE events (
    -- Taken when the rows that were changed are held already: of any two changes of one row, the earlier has the smaller number.
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    -- Where it stands in the order in which sinks are told. Given after the commit, one by one and without gaps, so that nothing
    -- ever appears behind a sink that has moved on. (An index of its own below: most rows of a service without sinks have none.)
    place bigint,
    at timestamp NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    project_id text COLLATE "C",
    request_id text COLLATE "C" NOT NULL,
    image_id uuid NOT NULL,
    image_name text COLLATE "C",
    owner text COLLATE "C",
    -- NULL: it is about the image's record.
    member_id text COLLATE "C",
    deed text COLLATE "C" NOT NULL CHECK (deed IN ('create', 'update', 'delete')),
    old_status text COLLATE "C",
    new_status text COLLATE "C",
    member_created_at timestamp,
    reason text COLLATE "C",
    -- Whether it gave the image another owner, whose histories begin here.
    owner_changed boolean NOT NULL DEFAULT false,
    -- The record, as JSON: what sinks need. NULL if no sink was configured at the time of the change.
    image text COLLATE "C",
    -- The names of the image's attributes that changed, as a JSON array.
    changed text COLLATE "C",
    -- What the row takes, about: claims and pages of events are bounded by it.
    bytes integer NOT NULL GENERATED ALWAYS AS (256 + octet_length(user_id) + octet_length(coalesce(project_id, ''))
        + octet_length(request_id) + octet_length(coalesce(image_name, '')) + octet_length(coalesce(owner, ''))
        + octet_length(coalesce(member_id, '')) + octet_length(coalesce(image, ''))
        + octet_length(coalesce(changed, ''))) STORED,
    CHECK ((member_id IS NULL) = (changed IS NOT NULL)),
    CHECK (member_id IS NULL OR image IS NULL),
    CHECK ((member_id IS NULL) = (member_created_at IS NULL))
);

CREATE INDEX events_of_member ON events (image_id, member_id, number);
CREATE INDEX events_of_new_owners ON events (image_id, number) WHERE owner_changed;
CREATE UNIQUE INDEX events_in_order ON events (place) WHERE place IS NOT NULL;
CREATE INDEX events_without_place ON events (number) WHERE place IS NULL;

-- One row: the last place that was given. Who holds it gives places. Events with numbers before first_number are never told:
-- nobody was there when they happened.
CREATE TABLE event_order (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    last_place bigint NOT NULL,
    first_number bigint
);

INSERT INTO event_order (last_place) VALUES (0);

-- Who is told, how far, and by whom for now. Everything up to settled was told; up to claimed it may have been.
CREATE TABLE event_sinks (
    name text COLLATE "C" PRIMARY KEY,
    holder text COLLATE "C" NOT NULL,
    fence bigint NOT NULL,
    -- In seconds since 1970, by this database's clock.
    leased_until double precision NOT NULL,
    settled bigint NOT NULL,
    claimed bigint NOT NULL CHECK (claimed >= settled)
);

-- What could not be told.
CREATE TABLE event_dead_letters (
    sink text COLLATE "C" NOT NULL,
    number bigint NOT NULL REFERENCES events (number),
    why text COLLATE "C" NOT NULL,
    at timestamp NOT NULL,
    PRIMARY KEY (sink, number)
);

CREATE INDEX event_dead_letters_by_number ON event_dead_letters (number);
