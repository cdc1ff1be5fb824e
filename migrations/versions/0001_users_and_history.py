"""Users, their views, functions for their metadata, and their history.

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

PROFILE = """jsonb_strip_nulls(jsonb_build_object(
        'email', email, 'email_verified', email_verified, 'username', username, 'phone_number', phone_number,
        'name', name, 'nickname', nickname, 'given_name', given_name, 'family_name', family_name, 'picture', picture,
        'blocked', blocked, 'last_ip', last_ip
    ))
    || CASE user_metadata WHEN '{}' THEN '{}' ELSE jsonb_build_object('user_metadata', user_metadata) END
    || CASE app_metadata WHEN '{}' THEN '{}' ELSE jsonb_build_object('app_metadata', app_metadata) END
    || profile AS profile"""

USERS = f"""
    SELECT
        user_id, email, email_verified, username, phone_number, name, nickname, given_name, family_name, picture,
        connection, blocked, last_ip, last_login, logins_count, created_at, updated_at, deleted_at,
        user_metadata, app_metadata, {PROFILE}, version, source, event_id, synced_at, carried
    FROM auth0.user_rows
"""  # noqa: S608 - constants

# In the database's collation, so that a join can use the index of the reader's own column.
LIVE_USERS = f"""
    SELECT
        user_id COLLATE "default" AS user_id, email, email_verified, username, phone_number, name, nickname,
        given_name, family_name, picture, connection, blocked, last_ip, last_login, logins_count, created_at,
        updated_at, user_metadata, app_metadata, {PROFILE}, version, source, event_id, synced_at
    FROM auth0.user_rows
    WHERE deleted_at IS NULL
"""  # noqa: S608 - constants

METADATA_KEYS = """
    SELECT
        array_to_string(path, '.') AS key,
        path,
        sum(users)::bigint AS users,
        jsonb_object_agg(type, users) AS types
    FROM (
        SELECT entry.path, jsonb_typeof(entry.value) AS type, count(*) AS users
        FROM auth0.user_rows
        CROSS JOIN LATERAL jsonb_each(
            CASE WHEN jsonb_typeof(user_metadata) = 'object' THEN user_metadata END
        ) AS top
        CROSS JOIN LATERAL (
            SELECT ARRAY[top.key] AS path, top.value
            UNION ALL
            SELECT ARRAY[top.key, nested.key], nested.value
            FROM jsonb_each(CASE WHEN jsonb_typeof(top.value) = 'object' THEN top.value END) AS nested
        ) AS entry
        WHERE deleted_at IS NULL
        GROUP BY entry.path, jsonb_typeof(entry.value)
    ) AS counted
    GROUP BY path
"""

METADATA_HISTORY = """
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
    FROM (
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
    ) AS complete
    WINDOW
        versions AS (PARTITION BY user_id ORDER BY version),
        reports AS (
            PARTITION BY user_id, changed_at, deleted_at IS NOT NULL, user_metadata, app_metadata
            ORDER BY source <> 'auth0.logs', version
        )
"""

VIEWS = {
    "users": USERS,
    "live_users": LIVE_USERS,
    "metadata_keys": METADATA_KEYS,
    "metadata_history": METADATA_HISTORY,
}

CASTS = {
    "text": """CASE WHEN jsonb_typeof(value) = 'string' THEN
        CASE WHEN length(value #>> '{}') <= 500 THEN value #>> '{}' END END""",
    "boolean": "CASE WHEN jsonb_typeof(value) = 'boolean' THEN value::boolean END",
    "numeric": """CASE WHEN jsonb_typeof(value) = 'number' THEN
        CASE WHEN length(value #>> '{}') <= 500 THEN value::numeric END END""",
    "bigint": """CASE WHEN jsonb_typeof(value) = 'number' THEN
        CASE WHEN value::numeric BETWEEN -9223372036854775808 AND 9223372036854775807
            AND value::numeric = trunc(value::numeric) THEN value::bigint END END""",
    "timestamptz": """CASE WHEN jsonb_typeof(value) = 'string'
            AND value #>> '{}' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+(Z|[+-][0-9]{2}(:?[0-9]{2})?)$' THEN
        CASE WHEN pg_input_is_valid(value #>> '{}', 'timestamptz') THEN (value #>> '{}')::timestamptz END END""",
}


def upgrade() -> None:
    op.create_table(
        "user_rows",
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
            comment="what Auth0 sent and no other column holds as it was; the view users has the whole",
        ),
        sa.Column("version", _bytewise, nullable=False, comment="place of the last change in the total order"),
        sa.Column("source", sa.Text, nullable=False, comment="feed of the last change, such as auth0.logs"),
        sa.Column("event_id", sa.Text, nullable=False, comment="id of the event of the last change: log_id, or evt_…"),
        sa.Column(
            "synced_at", _timestamptz, nullable=False, server_default=sa.func.now(), comment="when the row was written"
        ),
        sa.Column(
            "carried",
            postgresql.JSONB,
            comment="versions of what is older than the last change; NULL where that was whole",
        ),
        sa.PrimaryKeyConstraint("user_id", name="pk_user_rows"),
        schema="auth0",
        comment="Every user ever seen, tombstones included, each value once; query live_users or users",
        postgresql_with={"toast_tuple_target": 8160, "fillfactor": 80},
    )
    op.create_index("ix_user_rows_email", "user_rows", [sa.text("lower(email)")], schema="auth0")
    op.create_index(
        "ix_user_rows_user_metadata",
        "user_rows",
        ["user_metadata"],
        schema="auth0",
        postgresql_using="gin",
        postgresql_ops={"user_metadata": "jsonb_path_ops"},
    )
    op.create_index("ix_user_rows_user_id", "user_rows", [sa.text('user_id COLLATE "default"')], schema="auth0")
    op.create_index(
        "ix_user_rows_synced_at_updated_at",
        "user_rows",
        ["synced_at", "updated_at"],
        schema="auth0",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 8, "autosummarize": "on"},
    )
    op.create_table(
        "user_history",
        sa.Column("user_id", _bytewise, nullable=False),
        sa.Column("version", _bytewise, nullable=False, comment="place of the change in the total order"),
        sa.Column("changed_at", _timestamptz, nullable=False, comment="when the user changed in Auth0"),
        sa.Column("deleted_at", _timestamptz, comment="set where the change was the deletion of the user"),
        sa.Column("user_metadata", postgresql.JSONB, comment="as of this change; NULL if it did not carry them"),
        sa.Column("app_metadata", postgresql.JSONB, comment="as of this change; NULL if it did not carry them"),
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
    for name, definition in VIEWS.items():
        op.execute(f"CREATE VIEW auth0.{name} AS {definition}")
    for kind, expression in CASTS.items():
        op.execute(f"""
            CREATE FUNCTION auth0.as_{kind}(value jsonb) RETURNS {kind}
            LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
            RETURN {expression}
        """)


def downgrade() -> None:
    for kind in CASTS:
        op.execute(f"DROP FUNCTION auth0.as_{kind}")
    for name in VIEWS:
        op.execute(f"DROP VIEW auth0.{name}")
    op.drop_table("user_history", schema="auth0")
    op.drop_table("user_rows", schema="auth0")
