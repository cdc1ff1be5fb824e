-- In a database that is for auth0-sync alone, nobody else has any rights.
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
END $$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;

REVOKE ALL ON SCHEMA public FROM auth0_migrator, auth0_writer, auth0_reader, auth0_query, auth0_readers CASCADE;

-- Whoever runs this finds auth0's tables and views without the schema, such as in the console's query editor.
DO $$
BEGIN
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = auth0, public', current_user, current_database());
END $$;
