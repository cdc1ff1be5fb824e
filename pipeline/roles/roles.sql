-- The roles of auth0-sync in the current database, and what each may do. Run by the owner of the database, who may
-- create roles, or a superuser; every statement can be run again. It takes away what the roles should not have.
-- PostgreSQL 16 or later.
--
-- A statement ends before an empty line, which is how the Data API gets them: one at a time.

-- Functions of public must not stand in for those of Postgres.
SET LOCAL search_path = pg_catalog, pg_temp;

-- The lock of a table that a migration changes is not waited for.
SET LOCAL lock_timeout = '5s';

-- auth0_migrator owns schema auth0, auth0_writer is the sync, auth0_reader is for people and reports, auth0_query for the
-- Data API. auth0_readers holds what readers may do, so that others can be given it too.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['auth0_migrator', 'auth0_writer', 'auth0_reader', 'auth0_query', 'auth0_readers'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I', name);
            -- Another session has made it meanwhile.
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
END $$;

-- Take away attributes and settings. Only a superuser may name most of these attributes at all.
DO $$
DECLARE
    role record;
    setting record;
BEGIN
    FOR role IN
        SELECT oid, rolname, concat_ws(' ',
            CASE WHEN rolsuper THEN 'NOSUPERUSER' END,
            CASE WHEN rolcreatedb THEN 'NOCREATEDB' END,
            CASE WHEN rolcreaterole THEN 'NOCREATEROLE' END,
            CASE WHEN rolreplication THEN 'NOREPLICATION' END,
            CASE WHEN rolbypassrls THEN 'NOBYPASSRLS' END,
            CASE WHEN rolname = 'auth0_readers' THEN 'NOLOGIN' ELSE 'LOGIN' END) AS attributes
        FROM pg_roles
        WHERE rolname IN ('auth0_migrator', 'auth0_writer', 'auth0_reader', 'auth0_query', 'auth0_readers')
    LOOP
        EXECUTE format('ALTER ROLE %I INHERIT %s', role.rolname, role.attributes);
        EXECUTE format('ALTER ROLE %I RESET ALL', role.rolname);
        FOR setting IN
            SELECT datname FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase WHERE setrole = role.oid
        LOOP
            EXECUTE format('ALTER ROLE %I IN DATABASE %I RESET ALL', role.rolname, setting.datname);
        END LOOP;
    END LOOP;
END $$;

-- The sync is limited by the concurrency of its function. A migration has two sessions, and the next one waits in one.
ALTER ROLE auth0_migrator CONNECTION LIMIT 10;

ALTER ROLE auth0_writer CONNECTION LIMIT -1;

ALTER ROLE auth0_reader CONNECTION LIMIT 50;

ALTER ROLE auth0_query CONNECTION LIMIT 20;

ALTER ROLE auth0_readers CONNECTION LIMIT -1;

-- Keep a person's session from getting in the way of the sync, and of a pause of Aurora.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['auth0_reader', 'auth0_query'] LOOP
        EXECUTE format('ALTER ROLE %I SET default_transaction_read_only = on', name);
        EXECUTE format('ALTER ROLE %I SET statement_timeout = %L', name, '5min');
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = %L', name, '5min');
        EXECUTE format('ALTER ROLE %I SET idle_session_timeout = %L', name, '1h');
        EXECUTE format('ALTER ROLE %I SET search_path = auth0, public', name);
    END LOOP;
END $$;

-- A function keeps its session, also while Lambda has frozen it: one that does nothing must not keep Aurora from pausing.
-- The sync signs in again when its session has ended.
ALTER ROLE auth0_writer SET idle_session_timeout = '5min';

-- What the sync asks of each session, for sessions by way of a pooler, which lets nobody ask.
ALTER ROLE auth0_writer SET timezone = 'UTC';

ALTER ROLE auth0_writer SET statement_timeout = '20s';

ALTER ROLE auth0_writer SET lock_timeout = '5s';

ALTER ROLE auth0_migrator SET idle_session_timeout = '15min';

-- Take away memberships of these roles in others. report.sql names those that only another administrator can revoke.
DO $$
DECLARE
    membership record;
BEGIN
    FOR membership IN
        SELECT granted.rolname AS role, member.rolname AS member, grantor.rolname AS grantor
        FROM pg_auth_members
        JOIN pg_roles AS granted ON granted.oid = roleid
        JOIN pg_roles AS member ON member.oid = pg_auth_members.member
        JOIN pg_roles AS grantor ON grantor.oid = pg_auth_members.grantor
        WHERE member.rolname IN ('auth0_migrator', 'auth0_writer', 'auth0_reader', 'auth0_query', 'auth0_readers')
            AND (admin_option OR NOT inherit_option OR NOT set_option OR (granted.rolname, member.rolname) NOT IN (
                ('auth0_readers', 'auth0_reader'), ('auth0_readers', 'auth0_query'),
                ('rds_iam', 'auth0_migrator'), ('rds_iam', 'auth0_writer'), ('rds_iam', 'auth0_reader')
            ))
    LOOP
        BEGIN
            EXECUTE format(
                'REVOKE %I FROM %I GRANTED BY %I CASCADE', membership.role, membership.member, membership.grantor
            );
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;
        END;
    END LOOP;
END $$;

GRANT auth0_readers TO auth0_reader, auth0_query;

-- On RDS and Aurora: sign in with IAM tokens, which makes passwords useless. The function gives auth0_query a password,
-- because the Data API has no tokens.
DO $$
DECLARE
    name text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
        GRANT rds_iam TO auth0_migrator, auth0_writer, auth0_reader;
        FOREACH name IN ARRAY ARRAY['auth0_migrator', 'auth0_writer', 'auth0_reader', 'auth0_query', 'auth0_readers'] LOOP
            EXECUTE format('ALTER ROLE %I PASSWORD NULL VALID UNTIL %L', name, 'infinity');
        END LOOP;
    END IF;
END $$;

-- Only the owner of an object can change its owner and its rights. So whoever runs this takes on the roles, and gives
-- them back at the end, before anybody can see.
DO $$
DECLARE
    role name;
    borrowed text[] DEFAULT '{}';
BEGIN
    IF current_setting('search_path') <> 'pg_catalog, pg_temp' THEN
        RAISE EXCEPTION 'all of these statements must run in one transaction';
    END IF;
    FOREACH role IN ARRAY ARRAY['auth0_migrator', 'auth0_writer', 'auth0_reader', 'auth0_query', 'auth0_readers'] LOOP
        IF NOT (pg_has_role(role, 'SET') AND pg_has_role(role, 'USAGE')) THEN
            EXECUTE format('GRANT %I TO CURRENT_USER WITH INHERIT TRUE, SET TRUE', role);
            SELECT borrowed || role::text INTO borrowed;
        END IF;
    END LOOP;
    PERFORM set_config('auth0_sync.borrowed', array_to_string(borrowed, ','), true);
    PERFORM set_config('auth0_sync.invoker', current_user, true);
END $$;

-- What these roles own belongs to auth0_migrator, the database to whoever runs this.
DO $$
DECLARE
    role name;
    owner name;
    object record;
BEGIN
    IF EXISTS (
        SELECT FROM pg_database JOIN pg_roles ON pg_roles.oid = datdba WHERE datname = current_database()
            AND rolname IN ('auth0_migrator', 'auth0_writer', 'auth0_reader', 'auth0_query', 'auth0_readers')
    ) THEN
        EXECUTE format('ALTER DATABASE %I OWNER TO CURRENT_USER', current_database());
    END IF;
    FOR role IN
        SELECT DISTINCT rolname FROM pg_shdepend JOIN pg_roles ON pg_roles.oid = refobjid
        WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o'
            AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND rolname IN ('auth0_writer', 'auth0_reader', 'auth0_query', 'auth0_readers')
    LOOP
        EXECUTE format('REASSIGN OWNED BY %I TO auth0_migrator', role);
    END LOOP;
    SELECT pg_get_userbyid(nspowner) INTO owner FROM pg_namespace WHERE nspname = 'auth0';
    IF owner <> 'auth0_migrator' THEN
        RAISE EXCEPTION 'schema auth0 belongs to %, so auth0_migrator cannot migrate it', owner
            USING HINT = format('Hand it over, tables and functions included, such as by REASSIGN OWNED BY %I TO auth0_migrator.', owner);
    END IF;
    FOR object IN
        SELECT 'TABLE' AS kind, oid::regclass::text AS name, relowner AS owner FROM pg_class
        WHERE relnamespace = to_regnamespace('auth0') AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT (
            -- Those of columns follow their table.
            relkind = 'S' AND EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype IN ('a', 'i'))
        )
        UNION ALL
        SELECT 'ROUTINE', oid::regprocedure::text, proowner FROM pg_proc WHERE pronamespace = to_regnamespace('auth0')
    LOOP
        IF object.owner <> 'auth0_migrator'::regrole AND pg_has_role(object.owner, 'USAGE') THEN
            EXECUTE format('ALTER %s %s OWNER TO auth0_migrator', object.kind, object.name);
        END IF;
    END LOOP;
END $$;

DO $$
BEGIN
    EXECUTE format(
        'REVOKE ALL ON DATABASE %I FROM auth0_migrator, auth0_writer, auth0_reader, auth0_query, auth0_readers CASCADE',
        current_database()
    );
    EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO auth0_migrator', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO auth0_writer, auth0_readers', current_database());
END $$;

SET LOCAL ROLE auth0_migrator;

-- Only the owner of this table, which is Alembic's, may lock it so: it is the lock of migrations (pipeline/migration/lock.py).
DO $$
BEGIN
    IF to_regnamespace('auth0') IS NOT NULL THEN
        GRANT ALL ON SCHEMA auth0 TO CURRENT_USER;
        IF to_regclass('auth0.alembic_version') IS NOT NULL THEN
            GRANT ALL ON TABLE auth0.alembic_version TO CURRENT_USER;
            LOCK TABLE auth0.alembic_version IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
        END IF;
    END IF;
END $$;

-- Rights on what migrations will make: readers may read it. rights.sql gives the sync its tables.
DO $$
DECLARE
    entry record;
BEGIN
    FOR entry IN
        SELECT
            coalesce('IN SCHEMA ' || nspname, '') AS place,
            CASE defaclobjtype
                WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES' WHEN 'T' THEN 'TYPES'
                WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS'
            END AS kind,
            coalesce(quote_ident(rolname), 'PUBLIC') AS grantee
        FROM pg_default_acl
        CROSS JOIN LATERAL aclexplode(defaclacl)
        LEFT JOIN pg_namespace ON pg_namespace.oid = defaclnamespace
        LEFT JOIN pg_roles ON pg_roles.oid = grantee
        WHERE defaclrole = 'auth0_migrator'::regrole AND (
            grantee = 0 OR rolname IN ('auth0_writer', 'auth0_reader', 'auth0_query', 'auth0_readers')
            OR (defaclnamespace <> 0 AND rolname = 'auth0_migrator')
        )
        GROUP BY 1, 2, 3
    LOOP
        EXECUTE format('ALTER DEFAULT PRIVILEGES %s REVOKE ALL ON %s FROM %s', entry.place, entry.kind, entry.grantee);
    END LOOP;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO CURRENT_USER;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO CURRENT_USER;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO CURRENT_USER;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON ROUTINES TO CURRENT_USER;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TYPES TO CURRENT_USER;
    ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO PUBLIC;
    ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO auth0_readers;
    ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO auth0_readers;
    -- The sync calls those of generated columns and of indexes.
    ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON ROUTINES FROM PUBLIC;
    ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON ROUTINES TO auth0_writer, auth0_readers;
END $$;
