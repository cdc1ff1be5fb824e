"""Athena's queries on DuckDB: Trino's SQL, Glue's tables and views, S3's objects read as the OpenX JSON SerDe does."""
