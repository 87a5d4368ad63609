-- The same as for Postgres, whose migration says what each index is for; building them holds off every other use of the file.

CREATE INDEX images_by_time ON images (visibility, hidden, created_at DESC, id DESC);
CREATE INDEX images_by_owner_and_time ON images (owner, visibility, hidden, created_at DESC, id DESC);
CREATE INDEX images_by_name ON images (visibility, hidden, coalesce(name, ''), created_at DESC, id DESC);
CREATE INDEX images_by_owner_and_name ON images (owner, visibility, hidden, coalesce(name, ''), created_at DESC, id DESC);

DROP INDEX images_by_owner;
DROP INDEX images_public;
