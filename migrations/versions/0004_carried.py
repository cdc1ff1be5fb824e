"""Changes that do not carry the whole user: what they leave out is kept.

Of ``users``, ``carried`` says how old the parts of a row are; it is NULL for whole users, so that no row is rewritten,
and the view ``live_users`` stays as it is, with whatever columns it has been given.
History has NULL for metadata that a change did not carry. The code before this never writes either, and clears what is
kept when it writes a newer change; both come right with the next whole user.

Revision: 0004
Follows: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

HISTORY = """
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
    FROM {entries}
    WINDOW
        versions AS (PARTITION BY user_id ORDER BY version),
        reports AS (
            PARTITION BY user_id, changed_at, deleted_at IS NOT NULL, user_metadata, app_metadata
            ORDER BY source <> 'auth0.logs', version
        )
"""

COMPLETE = """(
    SELECT
        user_id, version, changed_at, deleted_at, actor, client_id, channel, ip, source, event_id, recorded_at,
        coalesce(first_value(user_metadata) OVER user_metadata_since, '{}') AS user_metadata,
        coalesce(first_value(app_metadata) OVER app_metadata_since, '{}') AS app_metadata
    FROM (
        SELECT
            *,
            count(user_metadata) OVER versions AS user_metadata_carried,
            count(app_metadata) OVER versions AS app_metadata_carried
        FROM auth0.user_history
        WINDOW versions AS (PARTITION BY user_id ORDER BY version)
    ) AS counted
    WINDOW
        user_metadata_since AS (PARTITION BY user_id, user_metadata_carried ORDER BY version),
        app_metadata_since AS (PARTITION BY user_id, app_metadata_carried ORDER BY version)
) AS complete"""

METADATA = ("user_metadata", "app_metadata")


def upgrade() -> None:
    comment = "versions of what is older than the last change; NULL where that was whole"
    op.add_column("users", sa.Column("carried", postgresql.JSONB, comment=comment), schema="auth0")
    for column in METADATA:
        op.alter_column(
            "user_history",
            column,
            nullable=True,
            comment="as of this change; NULL if it did not carry them",
            existing_comment="as of this change",
            existing_type=postgresql.JSONB,
            schema="auth0",
        )
    # It has the same columns as before, so that what was granted on it stays.
    op.execute(f"CREATE OR REPLACE VIEW auth0.metadata_history AS {HISTORY.format(entries=COMPLETE)}")


def downgrade() -> None:
    op.execute(f"CREATE OR REPLACE VIEW auth0.metadata_history AS {HISTORY.format(entries='auth0.user_history')}")
    for column in METADATA:
        op.execute(f"UPDATE auth0.user_history SET {column} = '{{}}' WHERE {column} IS NULL")  # noqa: S608 - constants
        op.alter_column(
            "user_history",
            column,
            nullable=False,
            comment="as of this change",
            existing_comment="as of this change; NULL if it did not carry them",
            existing_type=postgresql.JSONB,
            schema="auth0",
        )
    op.drop_column("users", "carried", schema="auth0")
