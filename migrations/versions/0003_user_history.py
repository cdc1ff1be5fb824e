"""History of metadata, which the sync writes only where HISTORY is on.

Revision: 0003
Follows: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_bytewise = sa.Text(collation="C")
_timestamptz = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "user_history",
        sa.Column("user_id", _bytewise, nullable=False),
        sa.Column("version", _bytewise, nullable=False, comment="place of the change in the total order"),
        sa.Column("changed_at", _timestamptz, nullable=False, comment="when the user changed in Auth0"),
        sa.Column("deleted_at", _timestamptz, comment="set where the change was the deletion of the user"),
        sa.Column("user_metadata", postgresql.JSONB, nullable=False, comment="as of this change"),
        sa.Column("app_metadata", postgresql.JSONB, nullable=False, comment="as of this change"),
        sa.Column("actor", sa.Text, comment="user id of who made the call; machines have none"),
        sa.Column("client_id", sa.Text, comment="the application that made the call"),
        sa.Column("channel", sa.Text, comment="api, or the address of the dashboard"),
        sa.Column("ip", sa.Text),
        sa.Column("source", sa.Text, nullable=False, comment="feed of the change, such as auth0.logs"),
        sa.Column("event_id", sa.Text, nullable=False, comment="id of the event of the change: log_id, or evt_…"),
        sa.Column("recorded_at", _timestamptz, nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("user_id", "version", name="pk_user_history"),
        schema="auth0",
        comment="Every change of every user while HISTORY is on; query metadata_history",
    )
    op.create_index(
        "ix_user_history_recorded_at", "user_history", ["recorded_at"], schema="auth0", postgresql_using="brin"
    )
    op.execute("""
        CREATE VIEW auth0.metadata_history AS
        SELECT
            user_id,
            changed_at AS valid_from,
            lead(changed_at) OVER versions AS valid_to,
            user_metadata,
            app_metadata,
            deleted_at IS NOT NULL AS deleted,
            user_metadata IS DISTINCT FROM lag(user_metadata) OVER versions AS user_metadata_changed,
            app_metadata IS DISTINCT FROM lag(app_metadata) OVER versions AS app_metadata_changed,
            first_value(actor) OVER reports AS actor,
            first_value(client_id) OVER reports AS client_id,
            first_value(channel) OVER reports AS channel,
            first_value(ip) OVER reports AS ip,
            source,
            event_id,
            version,
            recorded_at
        FROM auth0.user_history
        WINDOW
            versions AS (PARTITION BY user_id ORDER BY version),
            reports AS (
                PARTITION BY user_id, changed_at, deleted_at IS NOT NULL, user_metadata, app_metadata
                ORDER BY source <> 'auth0.logs', version
            )
    """)


def downgrade() -> None:
    op.execute("DROP VIEW auth0.metadata_history")
    op.drop_table("user_history", schema="auth0")
