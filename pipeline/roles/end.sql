-- Give the roles back.
DO $$
DECLARE
    role text;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', current_setting('auth0_sync.invoker'));
    FOREACH role IN ARRAY string_to_array(current_setting('auth0_sync.borrowed'), ',') LOOP
        EXECUTE format('REVOKE %I FROM CURRENT_USER', role);
    END LOOP;
END $$;

-- Whoever runs this may read as readers do, by SET ROLE, such as in a cluster that is restored from a backup. Not as
-- auth0_reader, because RDS takes no password from a member of rds_iam, and counts membership by way of another role.
DO $$
BEGIN
    IF NOT pg_has_role('auth0_readers', 'SET') THEN
        GRANT auth0_readers TO CURRENT_USER WITH INHERIT FALSE, SET TRUE;
    END IF;
END $$;
