"""The tables in Postgres: the one definition for Alembic, the tests and the command.

``user_rows`` has one row per user ever seen, tombstones included, so that a late update cannot bring a deleted user
back. It stores each value once; the view ``users`` shows it with the whole profile. People query the view
``live_users``. ``user_history`` has a row per change while ``HISTORY`` is on; people query
the view ``metadata_history``. docs/sql.md shows how.
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
_bytewise = Text(collation="C")  # compares as Python and DynamoDB do, and is the fastest to index
_empty_object = text("'{}'::jsonb")

user_rows = Table(
    "user_rows",
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
    Column(
        "profile",
        JSONB,
        nullable=False,
        server_default=_empty_object,
        comment="what Auth0 sent and no other column holds as it was; the view users has the whole",
    ),
    Column("version", _bytewise, nullable=False, comment="place of the last change in the total order"),
    Column("source", Text, nullable=False, comment="feed of the last change, such as auth0.logs"),
    Column("event_id", Text, nullable=False, comment="id of the event of the last change: log_id, or evt_…"),
    Column("synced_at", _timestamptz, nullable=False, server_default=func.now(), comment="when the row was written"),
    Column("carried", JSONB, comment="versions of what is older than the last change; NULL where that was whole"),
    comment="Every user ever seen, tombstones included, each value once; query live_users or users",
    # Keep a user of a few kilobytes in its row: compressing it costs more than the rest of the write. Keep a part of
    # each page free for the next versions of its rows, which then need no new index entries and no new pages.
    postgresql_with={"toast_tuple_target": 8160, "fillfactor": 80},
)

Index("ix_user_rows_email", func.lower(user_rows.c.email))
Index(
    "ix_user_rows_user_metadata",
    user_rows.c.user_metadata,
    postgresql_using="gin",
    postgresql_ops={"user_metadata": "jsonb_path_ops"},  # supports @> only, at half the size and cost
)
# Joins of the view live_users compare in the database's collation, as the columns of readers do.
Index("ix_user_rows_user_id", user_rows.c.user_id, postgresql_ops={"user_id": 'COLLATE "default"'})
# With BRIN an update stays in its page. A range has few pages, as its rows change at any time.
Index(
    "ix_user_rows_synced_at_updated_at",
    user_rows.c.synced_at,
    user_rows.c.updated_at,
    postgresql_using="brin",
    postgresql_with={"pages_per_range": 8, "autosummarize": "on"},
)

user_history = Table(
    "user_history",
    metadata,
    Column("user_id", _bytewise, primary_key=True),
    Column("version", _bytewise, primary_key=True, comment="place of the change in the total order"),
    Column("changed_at", _timestamptz, nullable=False, comment="when the user changed in Auth0"),
    Column("deleted_at", _timestamptz, comment="set where the change was the deletion of the user"),
    Column("user_metadata", JSONB, comment="as of this change; NULL if it did not carry them"),
    Column("app_metadata", JSONB, comment="as of this change; NULL if it did not carry them"),
    Column("actor", Text, comment="user id of who made the call; machines have none"),
    Column("client_id", Text, comment="the application that made the call"),
    Column("channel", Text, comment="api, or the address of the dashboard"),
    Column("ip", Text),
    Column("source", Text, nullable=False, comment="feed of the change, such as auth0.logs"),
    Column("event_id", Text, nullable=False, comment="id of the event of the change: log_id, or evt_…"),
    Column("recorded_at", _timestamptz, nullable=False, server_default=func.now()),
    comment="Every change of every user while HISTORY is on; query metadata_history",
)

# A few pages for millions of rows, which is enough to find rows that are too old.
Index("ix_user_history_recorded_at", user_history.c.recorded_at, postgresql_using="brin")

exact_columns = (
    "email",
    "email_verified",
    "username",
    "phone_number",
    "name",
    "nickname",
    "given_name",
    "family_name",
    "picture",
    "blocked",
    "last_ip",
    "user_metadata",
    "app_metadata",
)
"""Columns of which ``upsert.sql`` keeps a value out of the stored profile if they hold it exactly."""

_METADATA = ("user_metadata", "app_metadata")

_pairs = ", ".join(f"'{key}', {key}" for key in exact_columns if key not in _METADATA)

# Empty metadata leave it to the profile whether Auth0 sent none, null or an empty object.
_PROFILE = "\n    || ".join(
    (
        f"jsonb_strip_nulls(jsonb_build_object({_pairs}))",
        *(f"CASE {key} WHEN '{{}}' THEN '{{}}' ELSE jsonb_build_object('{key}', {key}) END" for key in _METADATA),
        "profile AS profile",
    )
)
"""The whole user as Auth0 sent it: the values of ``exact_columns``, and the stored profile."""

all_columns = [column.name for column in user_rows.c]
live_columns = [name for name in all_columns if name not in ("deleted_at", "carried")]


def _select(columns: list[str], **shown: str) -> str:
    shown |= {"profile": _PROFILE}
    return f"SELECT {', '.join(shown.get(name, name) for name in columns)}\nFROM {SCHEMA}.user_rows"


USERS = _select(all_columns)
"""Definition of the view ``users``: every user ever seen, tombstones included."""

LIVE_USERS = f"""{_select(live_columns, user_id='user_id COLLATE "default" AS user_id')} WHERE deleted_at IS NULL"""
"""Definition of the view ``live_users``: the users that exist in Auth0 now.

``user_id`` has the database's collation, so that a join can use the index of the reader's own column.
"""

METADATA_KEYS = f"""
SELECT
    array_to_string(path, '.') AS key,
    path,
    sum(users)::bigint AS users,
    jsonb_object_agg(type, users) AS types
FROM (
    SELECT entry.path, jsonb_typeof(entry.value) AS type, count(*) AS users
    FROM {SCHEMA}.user_rows
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
"""  # noqa: S608 - constants
"""Definition of the view ``metadata_keys``: keys in the ``user_metadata`` of live users, and one level into objects.

For each key it has the number of users and the JSON types, but no values.
"""

METADATA_HISTORY = f"""
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
        coalesce(first_value(user_metadata) OVER user_metadata_since, '{{}}') AS user_metadata,
        coalesce(first_value(app_metadata) OVER app_metadata_since, '{{}}') AS app_metadata
    FROM (
        SELECT
            *,
            count(user_metadata) OVER versions AS user_metadata_carried,
            count(app_metadata) OVER versions AS app_metadata_carried
        FROM {SCHEMA}.user_history
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
"""  # noqa: S608 - constants
"""Definition of the view ``metadata_history``: each version of a user's metadata with its period and its actor.

A change that carries no metadata has those of the newest change before it that does.
If two sources report one change, only the log names the actor; both rows have it.
"""

_OFFSET_TIME = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"

_CASTS = {
    # An index on the column could not hold more than 500 characters.
    "text": """CASE WHEN jsonb_typeof(value) = 'string' THEN
        CASE WHEN length(value #>> '{}') <= 500 THEN value #>> '{}' END END""",
    "boolean": "CASE WHEN jsonb_typeof(value) = 'boolean' THEN value::boolean END",
    "numeric": """CASE WHEN jsonb_typeof(value) = 'number' THEN
        CASE WHEN length(value #>> '{}') <= 500 THEN value::numeric END END""",
    "bigint": """CASE WHEN jsonb_typeof(value) = 'number' THEN
        CASE WHEN value::numeric BETWEEN -9223372036854775808 AND 9223372036854775807
            AND value::numeric = trunc(value::numeric) THEN value::bigint END END""",
    # Only with an offset from UTC, so that the value does not depend on the session's settings.
    "timestamptz": f"""CASE WHEN jsonb_typeof(value) = 'string' AND value #>> '{{}}' ~ '{_OFFSET_TIME}' THEN
        CASE WHEN pg_input_is_valid(value #>> '{{}}', 'timestamptz') THEN (value #>> '{{}}')::timestamptz END END""",
}

LENIENT_CASTS = {
    f"as_{kind}": f"FUNCTION {SCHEMA}.as_{kind}(value jsonb) RETURNS {kind}\n"
    f"LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE\nRETURN {expression}"
    for kind, expression in _CASTS.items()
}
"""SQL functions for metadata keys that become columns: the value as a type, or NULL if it is of another.

They never raise: Auth0 lets a key hold anything, and a column that raises would stop the sync.
"""
