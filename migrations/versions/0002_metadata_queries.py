"""Metadata is easy to query: an index for @>, the view metadata_keys, lenient casts.

The index is not made CONCURRENTLY: readers go on, and what the sync would write waits in its queue meanwhile.

Revision: 0002
Follows: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

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
    op.create_index(
        "ix_users_user_metadata",
        "users",
        ["user_metadata"],
        schema="auth0",
        postgresql_using="gin",
        postgresql_ops={"user_metadata": "jsonb_path_ops"},
    )
    op.execute("""
        CREATE VIEW auth0.metadata_keys AS
        SELECT
            array_to_string(path, '.') AS key,
            path,
            sum(users)::bigint AS users,
            jsonb_object_agg(type, users) AS types
        FROM (
            SELECT entry.path, jsonb_typeof(entry.value) AS type, count(*) AS users
            FROM auth0.users
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
    """)
    for kind, expression in CASTS.items():
        op.execute(f"""
            CREATE FUNCTION auth0.as_{kind}(value jsonb) RETURNS {kind}
            LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
            RETURN {expression}
        """)


def downgrade() -> None:
    for kind in CASTS:
        op.execute(f"DROP FUNCTION auth0.as_{kind}")
    op.execute("DROP VIEW auth0.metadata_keys")
    op.drop_index("ix_users_user_metadata", "users", schema="auth0")
