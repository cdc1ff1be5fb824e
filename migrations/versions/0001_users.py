"""Users and live users.

Revision: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_bytewise = sa.Text(collation="C")
_timestamptz = sa.DateTime(timezone=True)
_empty_object = sa.text("'{}'::jsonb")


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", _bytewise, nullable=False, comment="Auth0's id: provider|id"),
        sa.Column("email", sa.Text),
        sa.Column("email_verified", sa.Boolean),
        sa.Column("username", sa.Text),
        sa.Column("phone_number", sa.Text),
        sa.Column("name", sa.Text),
        sa.Column("nickname", sa.Text),
        sa.Column("given_name", sa.Text),
        sa.Column("family_name", sa.Text),
        sa.Column("picture", sa.Text),
        sa.Column("connection", sa.Text, comment="connection of the first identity"),
        sa.Column("blocked", sa.Boolean),
        sa.Column("last_ip", sa.Text),
        sa.Column("last_login", _timestamptz),
        sa.Column("logins_count", sa.BigInteger),
        sa.Column("created_at", _timestamptz),
        sa.Column("updated_at", _timestamptz, nullable=False, comment="when the user last changed in Auth0"),
        sa.Column("deleted_at", _timestamptz, comment="set on tombstones, whose profile and metadata are cleared"),
        sa.Column("user_metadata", postgresql.JSONB, nullable=False, server_default=_empty_object),
        sa.Column("app_metadata", postgresql.JSONB, nullable=False, server_default=_empty_object),
        sa.Column(
            "profile",
            postgresql.JSONB,
            nullable=False,
            server_default=_empty_object,
            comment="the whole user as Auth0 sent it",
        ),
        sa.Column("version", _bytewise, nullable=False, comment="place of the last change in the total order"),
        sa.Column("source", sa.Text, nullable=False, comment="feed of the last change, such as auth0.logs"),
        sa.Column("event_id", sa.Text, nullable=False, comment="id of the event of the last change: log_id, or evt_…"),
        sa.Column(
            "synced_at", _timestamptz, nullable=False, server_default=sa.func.now(), comment="when the row was written"
        ),
        sa.PrimaryKeyConstraint("user_id", name="pk_users"),
        schema="auth0",
        comment="Every user ever seen, tombstones included; query live_users",
        postgresql_with={"toast_tuple_target": 8160, "fillfactor": 50},
    )
    op.create_index("ix_users_email", "users", [sa.text("lower(email)")], schema="auth0")
    op.execute("""
        CREATE VIEW auth0.live_users AS
        SELECT user_id, email, email_verified, username, phone_number, name, nickname, given_name, family_name,
            picture, connection, blocked, last_ip, last_login, logins_count, created_at, updated_at,
            user_metadata, app_metadata, profile, version, source, event_id, synced_at
        FROM auth0.users
        WHERE deleted_at IS NULL
    """)


def downgrade() -> None:
    op.execute("DROP VIEW auth0.live_users")
    op.drop_table("users", schema="auth0")
