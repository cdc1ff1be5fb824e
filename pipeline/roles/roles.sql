-- The roles of auth0-sync in the current database, and what each may do. Run by the owner of the database, who may
-- create roles; every statement can be run again and then changes nothing. PostgreSQL 16 or later.
--
-- A statement ends before an empty line, which is how the Data API gets them: one at a time.

-- auth0_migrator owns schema auth0, auth0_writer is the sync, auth0_reader is for people and reports. auth0_readers
-- holds what readers may do, so that others can be given it too.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['auth0_migrator', 'auth0_writer', 'auth0_reader', 'auth0_readers'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I', name);
        END IF;
    END LOOP;
END $$;

ALTER ROLE auth0_migrator LOGIN;

ALTER ROLE auth0_writer LOGIN;

ALTER ROLE auth0_reader LOGIN;

ALTER ROLE auth0_readers NOLOGIN;

GRANT auth0_readers TO auth0_reader;

-- What keeps a person's session from getting in the way of the sync.
ALTER ROLE auth0_reader SET default_transaction_read_only = on;

ALTER ROLE auth0_reader SET statement_timeout = '5min';

ALTER ROLE auth0_reader SET idle_in_transaction_session_timeout = '5min';

ALTER ROLE auth0_reader SET search_path = auth0, public;

-- A function keeps its session, also while Lambda has frozen it: one that does nothing must not keep Aurora from pausing.
-- The sync signs in again when its session has ended.
ALTER ROLE auth0_writer SET idle_session_timeout = '5min';

-- What the sync asks of each session, for sessions by way of a pooler, which lets nobody ask.
ALTER ROLE auth0_writer SET timezone = 'UTC';

ALTER ROLE auth0_writer SET statement_timeout = '20s';

ALTER ROLE auth0_writer SET lock_timeout = '5s';

-- On RDS and Aurora: sign in with IAM tokens, which makes passwords useless.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
        GRANT rds_iam TO auth0_migrator, auth0_writer, auth0_reader;
    END IF;
END $$;

-- Whoever runs this may read as readers do, by SET ROLE: so does the command `auth0-sync sql`. Not as auth0_reader,
-- because RDS takes no password from a member of rds_iam, and counts membership by way of another role.
DO $$
BEGIN
    IF NOT pg_has_role('auth0_readers', 'SET') THEN
        GRANT auth0_readers TO CURRENT_USER WITH INHERIT FALSE, SET TRUE;
    END IF;
END $$;

DO $$
BEGIN
    EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO auth0_migrator', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO auth0_writer, auth0_readers', current_database());
END $$;

-- Rights in schema auth0: of what the migrations will make, and of what they have made. Only the migrator can give
-- them, so whoever runs this takes on its role, and gives it back before anybody can see.
DO $$
DECLARE
    invoker CONSTANT name DEFAULT current_user;
    borrows CONSTANT boolean DEFAULT NOT pg_has_role('auth0_migrator', 'SET');
    owner CONSTANT name DEFAULT (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'auth0');
BEGIN
    IF owner <> 'auth0_migrator' THEN
        RAISE EXCEPTION 'schema auth0 belongs to %, so auth0_migrator cannot migrate it', owner
            USING HINT = format('Hand it over, tables and functions included, such as by REASSIGN OWNED BY %I TO auth0_migrator.', owner);
    END IF;
    IF borrows THEN
        EXECUTE format('GRANT auth0_migrator TO %I WITH INHERIT FALSE, SET TRUE', invoker);
    END IF;
    SET LOCAL ROLE auth0_migrator;
    ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO auth0_writer, auth0_readers;
    ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE ON TABLES TO auth0_writer;
    ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO auth0_readers;
    IF owner IS NOT NULL THEN
        GRANT USAGE ON SCHEMA auth0 TO auth0_writer, auth0_readers;
        GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA auth0 TO auth0_writer;
        GRANT SELECT ON ALL TABLES IN SCHEMA auth0 TO auth0_readers;
    END IF;
    EXECUTE format('SET LOCAL ROLE %I', invoker);
    IF borrows THEN
        EXECUTE format('REVOKE auth0_migrator FROM %I', invoker);
    END IF;
END $$;
