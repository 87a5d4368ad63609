-- The tables of Vitrine, split into 16 by a hash of the image's id: on one Postgres, and as the shape that a distributed
-- engine gives them. For a database that `vitrine migrate` has just made; what is in it is lost.
--
-- The conformance suite of the store passes on it (`crates/store-diesel/tests/partitioned.rs`). Columns, checks and
-- indexes are copied from the tables as they are, so that this stays true of later migrations; the primary key of each
-- table starts with, and each foreign key is, the image's id, or this fails.

DO $$
DECLARE
    parts CONSTANT integer := 16;
    kept record;
    part integer;
    foreign_keys text[];
    statement text;
BEGIN
    SELECT array_agg(format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)))
      INTO foreign_keys FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace;
    FOR statement IN SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
                     FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace
    LOOP
        EXECUTE statement;
    END LOOP;
    FOR kept IN SELECT * FROM (VALUES ('image_ids', 'id'), ('images', 'id'), ('image_members', 'image_id')) t (name, key)
    LOOP
        EXECUTE format('ALTER TABLE %I RENAME TO %I', kept.name, kept.name || '_whole');
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) PARTITION BY HASH (%I)', kept.name, kept.name || '_whole', kept.key);
        FOR part IN 0 .. parts - 1 LOOP
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS %s, REMAINDER %s)',
                           kept.name || '_' || part, kept.name, parts, part);
        END LOOP;
        EXECUTE format('DROP TABLE %I', kept.name || '_whole');
    END LOOP;
    FOREACH statement IN ARRAY foreign_keys LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
