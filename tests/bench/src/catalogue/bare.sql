-- Takes away what costs while loading, and keeps how to bring it back.
SET maintenance_work_mem = '1GB';
SET max_parallel_maintenance_workers = 2;
SET work_mem = '256MB';

CREATE TEMP TABLE taken_constraints AS
    SELECT conrelid::regclass::text AS relation, quote_ident(conname) AS name, contype AS kind,
        pg_get_constraintdef(oid) AS definition
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'f');
CREATE TEMP TABLE taken_indexes AS
    SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid);
SELECT format('ALTER TABLE %s DROP CONSTRAINT %s', relation, name) FROM taken_constraints
    ORDER BY kind <> 'f' \gexec
SELECT format('DROP INDEX %s', name) FROM taken_indexes \gexec
