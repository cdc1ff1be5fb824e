"""Migrations of the schema in Postgres: the files, the steps from one revision to another, and the lock."""
