-- :images images of Vitrine's own schema, as `vitrine migrate` made it.
INSERT INTO image_ids (id) SELECT pg_temp.image_id(n) FROM generate_series(1::bigint, :images) AS n;

INSERT INTO images (id, owner, visibility, status, name, container_format, disk_format, min_disk, min_ram, protected,
        hidden, created_at, updated_at, memory_bytes, tags, properties)
    SELECT pg_temp.image_id(n), pg_temp.owner(n, :projects), pg_temp.visibility(n),
        CASE WHEN n % 10 = 7 THEN 'queued' ELSE 'active' END, 'image ' || n, 'bare', 'qcow2', n % 40, n % 8 * 512,
        n % 97 = 0, n % 100 = 3, pg_temp.created_at(n), pg_temp.created_at(n),
        octet_length(concat(pg_temp.owner(n, :projects), 'image ', n, 'bareqcow2release-', n % 100,
            'os_distrodebianhw_disk_busvirtio')),
        ARRAY['release-' || n % 100], '{"os_distro": "debian", "hw_disk_bus": "virtio"}'
    FROM generate_series(1::bigint, :images) AS n;

INSERT INTO image_members (image_id, member_id, status, created_at, updated_at, image_created_at)
    SELECT pg_temp.image_id(n), pg_temp.member(n, k, :projects), pg_temp.status(n, k),
        pg_temp.created_at(n) + (k + 1) * interval '1 minute', pg_temp.created_at(n) + (k + 1) * interval '1 hour',
        pg_temp.created_at(n)
    FROM generate_series(1::bigint, :images) AS n, generate_series(0, pg_temp.members(n) - 1) AS k;
