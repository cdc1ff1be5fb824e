-- In a database that is for auth0-sync alone, nobody else has any rights.
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
END $$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- Whoever runs this finds auth0's tables and views without the schema, such as in the console's query editor.
DO $$
BEGIN
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = auth0, public', current_user, current_database());
END $$;
