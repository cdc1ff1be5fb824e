"""Migrate the schema in Postgres: the files, the steps between revisions, and the lock."""
