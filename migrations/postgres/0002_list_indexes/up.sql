-- Lists as ranges of indexes (docs/adr/0007): each part of the one list statement, store-diesel/src/images/list.rs, is read from
-- one of these, in its order, no further than the page needs. A list always asks for images that are hidden or for those that
-- are not.
--
-- On a catalogue that is in use this holds off changes of images, not reads, while the four are built: some ten seconds for a
-- million images. Memberships are not touched.

-- Everybody's public and community images; all images, for an admin.
CREATE INDEX images_by_time ON images (visibility, hidden, created_at DESC, id DESC);
-- The asking project's own, and a list of one owner's.
CREATE INDEX images_by_owner_and_time ON images (owner, visibility, hidden, created_at DESC, id DESC);
-- The same by name: `name=` (how clients find an image that they were given the name of) and `sort=name`. An image without a name
-- is ordered as if it were the empty one.
CREATE INDEX images_by_name ON images (visibility, hidden, coalesce(name, ''), created_at DESC, id DESC);
CREATE INDEX images_by_owner_and_name ON images (owner, visibility, hidden, coalesce(name, ''), created_at DESC, id DESC);

-- What the first two do better.
DROP INDEX images_by_owner;
DROP INDEX images_public;
