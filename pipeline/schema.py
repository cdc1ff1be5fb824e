"""The tables in Postgres: the only truth for Alembic, the tests and the command.

``users`` has one row per user ever seen, tombstones included, so that a late update cannot bring a deleted user
back. People query the view ``live_users``.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    MetaData,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "auth0"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"},
)

_timestamptz = DateTime(timezone=True)
_bytewise = Text(collation="C")  # compares as Python and DynamoDB do, and is the cheapest to index
_empty_object = text("'{}'::jsonb")

users = Table(
    "users",
    metadata,
    Column("user_id", _bytewise, primary_key=True, comment="Auth0's id: provider|id"),
    Column("email", Text),
    Column("email_verified", Boolean),
    Column("username", Text),
    Column("phone_number", Text),
    Column("name", Text),
    Column("nickname", Text),
    Column("given_name", Text),
    Column("family_name", Text),
    Column("picture", Text),
    Column("connection", Text, comment="connection of the first identity"),
    Column("blocked", Boolean),
    Column("last_ip", Text),
    Column("last_login", _timestamptz),
    Column("logins_count", BigInteger),
    Column("created_at", _timestamptz),
    Column("updated_at", _timestamptz, nullable=False, comment="when the user last changed in Auth0"),
    Column("deleted_at", _timestamptz, comment="set on tombstones, whose profile and metadata are cleared"),
    Column("user_metadata", JSONB, nullable=False, server_default=_empty_object),
    Column("app_metadata", JSONB, nullable=False, server_default=_empty_object),
    Column("profile", JSONB, nullable=False, server_default=_empty_object, comment="the whole user as Auth0 sent it"),
    Column("version", _bytewise, nullable=False, comment="place of the last change in the total order"),
    Column("source", Text, nullable=False, comment="feed of the last change, such as auth0.logs"),
    Column("event_id", Text, nullable=False, comment="id of the event of the last change: log_id, or evt_…"),
    Column("synced_at", _timestamptz, nullable=False, server_default=func.now(), comment="when the row was written"),
    comment="Every user ever seen, tombstones included; query live_users",
)

Index("ix_users_email", func.lower(users.c.email))
Index("ix_users_updated_at", users.c.updated_at)

live_columns = [column.name for column in users.c if column.name != "deleted_at"]

LIVE_USERS = f"SELECT {', '.join(live_columns)} FROM {SCHEMA}.users WHERE deleted_at IS NULL"  # noqa: S608 - constants
"""Definition of the view ``live_users``: the users that exist in Auth0 now."""
