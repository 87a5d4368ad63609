-- The n-th image and everything about it, computed from n alone: psql, wrk's script and pgbench's scripts all do the
-- same arithmetic (src/catalogue.rs says it once more), so that no list of ids is ever carried around.
-- :projects is how many ordinary projects there are.

-- Spreads 0, 1, 2, … over 32 bits, each value once.
CREATE FUNCTION pg_temp.image_scatter(n bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    'SELECT n * 2654435761 % 4294967296';

CREATE FUNCTION pg_temp.image_id(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$SELECT rpad(to_hex(4294967296 + n * 2654435761 % 4294967296), 32, '0')::uuid$$;

CREATE FUNCTION pg_temp.project_id(p bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$SELECT rpad(to_hex(4294967296 + p * 2246822519 % 4294967296), 32, '0')$$;

-- Every fifth image belongs to one of eight big owners, the others to ordinary projects in turn.
CREATE FUNCTION pg_temp.owner(n bigint, projects bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
    'SELECT pg_temp.project_id(CASE WHEN n % 5 = 0 THEN 1000000 + n / 5 % 8 ELSE (n / 5 * 4 + n % 5 - 1) % projects END)';

-- 2 % public, 1 % community, 38 % private, the rest shared: all of the big owners' among them.
CREATE FUNCTION pg_temp.visibility(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$SELECT CASE WHEN n % 50 = 1 THEN 'public' WHEN n % 100 = 2 THEN 'community' WHEN n % 5 IN (1, 3) THEN 'private'
        ELSE 'shared' END$$;

-- Ten on average over all images: one in a thousand has 300, one in a hundred 100, the others 1 to 29.
CREATE FUNCTION pg_temp.members(n bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    $$SELECT CASE WHEN pg_temp.visibility(n) <> 'shared' THEN 0 WHEN n % 1000 = 0 THEN 300 WHEN n % 100 = 50 THEN 100
        ELSE 1 + n * 7919 % 29 END$$;

-- The first member of a big owner's image is one of eight projects with thousands of shares.
CREATE FUNCTION pg_temp.member(n bigint, k bigint, projects bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
    'SELECT pg_temp.project_id(CASE WHEN n % 5 = 0 AND k = 0 THEN 1100000 + n / 40 % 8
        ELSE (pg_temp.image_scatter(n) / 64 + k) % projects END)';

-- Six in ten accepted, three pending, one rejected.
CREATE FUNCTION pg_temp.status(n bigint, k bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$SELECT CASE WHEN (pg_temp.image_scatter(n) / 128 + k * 7) % 10 < 6 THEN 'accepted'
        WHEN (pg_temp.image_scatter(n) / 128 + k * 7) % 10 < 9 THEN 'pending' ELSE 'rejected' END$$;

-- One every 31 seconds of a year, no two at the same time.
CREATE FUNCTION pg_temp.created_at(n bigint) RETURNS timestamp LANGUAGE sql IMMUTABLE AS
    $$SELECT timestamp '2024-01-01' + n * interval '31 seconds'
        + pg_temp.image_scatter(n) % 1000000 * interval '1 microsecond'$$;
