-- The same images and members in Glance's schema, as `glance-manage db sync` made it.
INSERT INTO images (id, name, size, status, created_at, updated_at, deleted, owner, disk_format, container_format,
        min_disk, min_ram, protected, visibility, os_hidden)
    SELECT pg_temp.image_id(n)::text, 'image ' || n, NULL, CASE WHEN n % 10 = 7 THEN 'queued' ELSE 'active' END,
        pg_temp.created_at(n), pg_temp.created_at(n), false, pg_temp.owner(n, :projects), 'qcow2', 'bare', n % 40,
        n % 8 * 512, n % 97 = 0, pg_temp.visibility(n)::image_visibility, n % 100 = 3
    FROM generate_series(1::bigint, :images) AS n;

INSERT INTO image_members (image_id, member, can_share, created_at, updated_at, deleted, status)
    SELECT pg_temp.image_id(n)::text, pg_temp.member(n, k, :projects), false,
        pg_temp.created_at(n) + (k + 1) * interval '1 minute', pg_temp.created_at(n) + (k + 1) * interval '1 hour',
        false, pg_temp.status(n, k)
    FROM generate_series(1::bigint, :images) AS n, generate_series(0, pg_temp.members(n) - 1) AS k;

INSERT INTO image_tags (image_id, value, created_at, updated_at, deleted)
    SELECT pg_temp.image_id(n)::text, 'release-' || n % 100, pg_temp.created_at(n), pg_temp.created_at(n), false
    FROM generate_series(1::bigint, :images) AS n;

INSERT INTO image_properties (image_id, name, value, created_at, updated_at, deleted)
    SELECT pg_temp.image_id(n)::text, name, value, pg_temp.created_at(n), pg_temp.created_at(n), false
    FROM generate_series(1::bigint, :images) AS n,
        (VALUES ('os_distro', 'debian'), ('hw_disk_bus', 'virtio')) AS properties (name, value);
