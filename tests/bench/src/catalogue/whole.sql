-- Brings back what bare.sql took away; keys before what refers to them.
SELECT format('ALTER TABLE %s ADD CONSTRAINT %s %s', relation, name, definition) FROM taken_constraints
    WHERE kind <> 'f' \gexec
SELECT definition FROM taken_indexes \gexec
SELECT format('ALTER TABLE %s ADD CONSTRAINT %s %s', relation, name, definition) FROM taken_constraints
    WHERE kind = 'f' \gexec
VACUUM (FREEZE, ANALYZE);
