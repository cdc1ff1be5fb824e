-- Who may do what in schema auth0: run by auth0_migrator, who owns it, after each migration and with the roles. It takes
-- away every other right of PUBLIC and of auth0-sync's roles, and the right of others to pass theirs on.
DO $$
DECLARE
    roles CONSTANT text DEFAULT 'auth0_writer, auth0_reader, auth0_query, auth0_readers';
    object record;
    holder text;
    entitled record;
BEGIN
    IF current_user <> 'auth0_migrator' OR to_regnamespace('auth0') IS NULL OR (
        SELECT count(*) FROM pg_roles WHERE rolname = ANY (string_to_array(roles, ', '))
    ) < 4 THEN
        RETURN;
    END IF;
    FOR object IN
        SELECT 'SCHEMA' AS kind, 'auth0' AS name, nspacl AS acl, '{}'::aclitem[] AS columns
        FROM pg_namespace WHERE nspname = 'auth0'
        UNION ALL
        SELECT
            CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
            format('auth0.%I', relname),
            relacl,
            ARRAY(SELECT unnest(attacl) FROM pg_attribute WHERE attrelid = pg_class.oid)
        FROM pg_class
        WHERE relnamespace = 'auth0'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
            AND relowner = 'auth0_migrator'::regrole
        UNION ALL
        SELECT 'ROUTINE', oid::regprocedure::text, proacl, '{}'
        FROM pg_proc WHERE pronamespace = 'auth0'::regnamespace AND proowner = 'auth0_migrator'::regrole
        UNION ALL
        SELECT 'TYPE', format('auth0.%I', typname), typacl, '{}'
        FROM pg_type
        WHERE typnamespace = 'auth0'::regnamespace AND typowner = 'auth0_migrator'::regrole
            AND typtype IN ('d', 'e', 'r') AND typelem = 0
    LOOP
        FOR holder IN
            SELECT DISTINCT grantee::regrole::text
            FROM aclexplode(nullif(object.acl || object.columns, '{}'))
            WHERE is_grantable AND grantee NOT IN (0, 'auth0_migrator'::regrole)
        LOOP
            EXECUTE format('REVOKE GRANT OPTION FOR ALL ON %s %s FROM %s CASCADE', object.kind, object.name, holder);
        END LOOP;
        EXECUTE format(
            'REVOKE ALL ON %s %s FROM PUBLIC, auth0_migrator, %s CASCADE', object.kind, object.name, roles
        );
        EXECUTE format('GRANT ALL ON %s %s TO auth0_migrator', object.kind, object.name);
        FOR entitled IN
            SELECT rights, grantees
            FROM (
                VALUES
                    ('SCHEMA', NULL, 'USAGE', 'auth0_writer, auth0_readers'),
                    ('TABLE', NULL, 'SELECT', 'auth0_readers'),
                    ('TABLE', 'auth0.user_rows', 'SELECT, INSERT, UPDATE', 'auth0_writer'),
                    ('TABLE', 'auth0.users', 'SELECT', 'auth0_writer'),
                    ('TABLE', 'auth0.user_history', 'SELECT, INSERT', 'auth0_writer'),
                    ('ROUTINE', NULL, 'EXECUTE', 'auth0_writer, auth0_readers'),
                    ('TYPE', NULL, 'USAGE', 'PUBLIC')
            ) AS matrix (kind, name, rights, grantees)
            WHERE matrix.kind = object.kind AND coalesce(matrix.name, object.name) = object.name
                -- Its profiles are not whole: readers read the views.
                AND NOT (object.name = 'auth0.user_rows' AND matrix.name IS NULL)
        LOOP
            EXECUTE format('GRANT %s ON %s %s TO %s', entitled.rights, object.kind, object.name, entitled.grantees);
        END LOOP;
    END LOOP;
END $$;
