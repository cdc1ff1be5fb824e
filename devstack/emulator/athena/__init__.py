"""Run Athena's queries on DuckDB: Trino's SQL, Glue's tables and views, S3's objects by the OpenX JSON SerDe."""
