-- {images} images and as many memberships, the same in every run; with a million of them: Half of the owners' images belong to few of a
-- thousand projects; «big» owns 27,000; 2 % are public, one in a thousand community, one in twenty hidden, one in ten
-- called «ubuntu». «inbox» has 20,000 pending and 20,000 accepted memberships, of private images too.
SET session_replication_role = replica; -- no look at foreign keys
CREATE TEMPORARY TABLE indexes AS SELECT indexname, indexdef FROM pg_indexes
    WHERE tablename IN ('images', 'image_members') AND indexname NOT LIKE '%\_pkey';
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT indexname FROM indexes LOOP EXECUTE format('DROP INDEX %I', name); END LOOP;
END $$;

INSERT INTO images
SELECT md5(n::text)::uuid,
    CASE WHEN n % 37 = 0 THEN 'big' WHEN n % 97 = 1 THEN NULL
        ELSE 'p' || floor(1000 * power((hashint4(n) & 65535) / 65536.0, 2)) END,
    CASE WHEN n % 50 = 0 THEN 'public' WHEN n % 1000 = 1 THEN 'community' WHEN n % 3 = 0 THEN 'private' ELSE 'shared' END,
    'queued', CASE WHEN n % 10 = 3 THEN 'ubuntu' WHEN n % 10 < 9 THEN 'image ' || n END, 'bare', 'raw', 0, 0, false,
    n % 20 = 7, timestamp '2026-01-01' + n * interval '{seconds} s', timestamp '2026-01-01' + n * interval '{seconds} s', 100,
    array_remove(ARRAY[CASE WHEN n % 50000 = 11 THEN 'rare' END, CASE WHEN n % 29 = 5 THEN 'common' END], NULL),
    jsonb_build_object('number', (n / 20)::text) || CASE WHEN n % 29 = 5 THEN '{"os": "linux"}' ELSE '{}' END::jsonb
FROM generate_series(1, {images}) n;

INSERT INTO image_members
SELECT md5(n::text)::uuid, 'p' || floor(1000 * power((hashint4(n + 7) & 65535) / 65536.0, 2)),
    (ARRAY['accepted', 'accepted', 'pending', 'rejected'])[1 + (hashint4(n) & 3)], m, m, m
FROM generate_series(1, {images}) n, LATERAL (SELECT timestamp '2026-01-01' + n * interval '{seconds} s') AS made (m);
INSERT INTO image_members
SELECT md5(n::text)::uuid, 'inbox', CASE WHEN n % 50 < 25 THEN 'pending' ELSE 'accepted' END, m, m, m
FROM generate_series(1, {images}, 23) n, LATERAL (SELECT timestamp '2026-01-01' + n * interval '{seconds} s') AS made (m);
-- One image with 5,000 members.
INSERT INTO image_members
SELECT md5('2')::uuid, 'm' || n, 'pending', m, m, m
FROM generate_series(1, 5000) n, LATERAL (SELECT timestamp '2026-01-01' + n * interval '1 s') AS made (m);

-- Memberships of «guest» that are over: 50,000 histories of four events.
INSERT INTO events (at, user_id, project_id, request_id, image_id, owner, member_id, deed, old_status, new_status, member_created_at)
SELECT m, 'user', 'owner', 'req-' || n || deed, md5(n::text)::uuid, 'owner', 'guest', deed, was, is_now, timestamp '2026-01-01'
FROM (VALUES (1, 'create', NULL, 'pending'), (2, 'update', 'pending', 'rejected'), (3, 'update', 'rejected', 'accepted'),
        (4, 'delete', 'accepted', NULL)) AS happened (turn, deed, was, is_now),
    generate_series(1, {guests}) n, LATERAL (SELECT timestamp '2026-01-01' + turn * interval '1 h') AS made (m)
ORDER BY turn, n;

DO $$ DECLARE definition text; BEGIN
    FOR definition IN SELECT indexdef FROM indexes LOOP EXECUTE definition; END LOOP;
END $$;
