"""The cost of programs' queries: the plans of joins by ``user_id``, and of queries of recent changes."""

from collections.abc import Iterator

import psycopg
import pytest

from pipeline.functions.migrate import migrate
from pipeline.settings import Database
from pipeline.sinks.postgres import PostgresSink
from tests.emulator.support import wait_for
from tests.releases import HEAD
from tests.strategies import changes, updated, user

USERS = 5000
FILL = f"""
INSERT INTO auth0.users (user_id, email, updated_at, synced_at, version, source, event_id)
SELECT 'auth0|' || n, n || '@example.com', '2020-01-01', '2020-01-01', '2020', 'auth0.logs', 'e'
FROM generate_series(1, {USERS}) AS n;
CREATE TABLE orders (id bigint PRIMARY KEY, user_id text NOT NULL);
CREATE TABLE bytewise_orders (id bigint PRIMARY KEY, user_id text COLLATE "C" NOT NULL);
INSERT INTO orders SELECT n, 'auth0|' || n % {USERS} FROM generate_series(1, 50000) AS n;
INSERT INTO bytewise_orders SELECT * FROM orders;
CREATE INDEX orders_by_user ON orders (user_id);
CREATE INDEX bytewise_orders_by_user ON bytewise_orders (user_id);
"""


@pytest.fixture
def filled(database: psycopg.Connection) -> psycopg.Connection:
    """Return a database with users, and with orders of theirs in tables of a reader's own."""
    database.execute(FILL)
    database.execute("VACUUM ANALYZE auth0.users")
    database.execute("ANALYZE")
    return database


def names(cursor: psycopg.Cursor) -> list[str]:
    """Return the columns of a result."""
    return [column.name for column in cursor.description or []]


def plan(database: psycopg.Connection, query: str) -> str:
    return "\n".join(line for (line,) in database.execute(f"EXPLAIN {query}"))


@pytest.mark.parametrize("orders", ["orders", "bytewise_orders"])
def test_a_join_uses_the_index_of_the_readers_table(filled: psycopg.Connection, orders: str) -> None:
    join = f"SELECT * FROM auth0.live_users JOIN {orders} USING (user_id) WHERE lower(email) = '7@example.com'"
    found = plan(filled, join)
    assert f"{orders}_by_user" in found
    assert "Seq Scan" not in found


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM auth0.live_users WHERE user_id = 'auth0|7'",
        "SELECT * FROM auth0.live_users WHERE user_id = ANY (ARRAY['auth0|7', 'auth0|8'])",
        "SELECT * FROM orders JOIN auth0.live_users USING (user_id) WHERE id = 7",
        "SELECT * FROM orders LEFT JOIN auth0.live_users USING (user_id) WHERE id = 7",
        "SELECT * FROM bytewise_orders JOIN auth0.live_users USING (user_id) WHERE id = 7",
        "SELECT * FROM auth0.live_users WHERE user_id IN (SELECT user_id FROM orders WHERE id < 4)",
        "SELECT * FROM auth0.users WHERE user_id = 'auth0|7'",
    ],
)
def test_users_are_found_by_an_index(filled: psycopg.Connection, query: str) -> None:
    found = plan(filled, query)
    assert "ix_users_user_id" in found or "pk_users" in found
    assert "Seq Scan" not in found


@pytest.mark.parametrize("column", ["synced_at", "updated_at"])
def test_query_for_recent_changes_reads_few_pages(filled: psycopg.Connection, sink: PostgresSink, column: str) -> None:
    """Three users in the middle of the table change; of the pages of the table next to none is read."""
    assert sink.apply(changes(*(updated(user(f"auth0|{n}")) for n in (7, 2500, 4990)))).failed == {}
    query = f"SELECT user_id FROM auth0.users WHERE {column} > '2021-01-01'"
    [(found,)] = filled.execute(f"EXPLAIN (ANALYZE, FORMAT json) {query}")
    [root] = found
    scan = root["Plan"]
    assert (scan["Node Type"], scan["Plans"][0]["Index Name"]) == ("Bitmap Heap Scan", "ix_users_synced_at_updated_at")
    assert scan["Actual Rows"] == 3
    [(pages,)] = filled.execute("SELECT relpages FROM pg_class WHERE oid = 'auth0.users'::regclass")
    assert scan["Lossy Heap Blocks"] <= 3 * 8 < pages / 2


def test_an_update_stays_in_its_page(filled: psycopg.Connection, sink: PostgresSink) -> None:
    """The first change brings e-mail address and metadata, which have indexes of other kinds; the next does not."""
    for moment in ("2026-01-15T09:00:00Z", "2026-01-15T09:00:01Z"):
        batch = changes(*(updated(user(f"auth0|{n}", moment)) for n in range(50, USERS, 50)))
        assert sink.apply(batch).failed == {}
    sink.close()  # which sends what it has counted
    counted = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'auth0.users'::regclass"
    wait_for(lambda: filled.execute(counted).fetchone() == (2 * 99, 99))


# The view is made anew


@pytest.fixture
def before(empty_postgres_url: str) -> Iterator[tuple[psycopg.Connection, str]]:
    """Yield a database with the view as it was, a column that its owner has promoted, and a reader."""
    migrate(Database(url=empty_postgres_url), "0004")
    with psycopg.connect(empty_postgres_url, autocommit=True) as database:
        [(definition,)] = database.execute("SELECT pg_get_viewdef('auth0.live_users'::regclass)")
        database.execute("ALTER TABLE auth0.users ADD COLUMN plan text")
        database.execute(
            f"CREATE OR REPLACE VIEW auth0.live_users AS {definition.replace('synced_at', 'synced_at, plan')}"
        )
        database.execute('CREATE ROLE "a reader"')
        database.execute('GRANT SELECT ON auth0.live_users TO "a reader" WITH GRANT OPTION')
        database.execute("GRANT SELECT (email) ON auth0.live_users TO PUBLIC")
        try:
            yield database, empty_postgres_url
        finally:
            database.execute('DROP OWNED BY "a reader"')
            database.execute('DROP ROLE "a reader"')


RIGHTS = """
SELECT attname::text, acl::text FROM (
    SELECT '' AS attname, unnest(relacl) AS acl FROM pg_class WHERE oid = 'auth0.live_users'::regclass
    UNION ALL SELECT attname, unnest(attacl) FROM pg_attribute WHERE attrelid = 'auth0.live_users'::regclass
) AS rights ORDER BY 1, 2
"""


def test_the_view_keeps_its_columns_and_rights(before: tuple[psycopg.Connection, str]) -> None:
    database, url = before
    shown = "SELECT * FROM auth0.live_users LIMIT 0"
    columns = names(database.execute(shown))
    rights = database.execute(RIGHTS).fetchall()
    assert len(rights) == 3
    for revision in (HEAD, "0004", HEAD):
        migrate(Database(url=url), revision, allow_data_loss=True)
        assert names(database.execute(shown)) == columns
        assert database.execute(RIGHTS).fetchall() == rights


def test_a_view_on_the_view_is_named(before: tuple[psycopg.Connection, str]) -> None:
    database, url = before
    database.execute("CREATE VIEW public.mine AS SELECT user_id FROM auth0.live_users")
    with pytest.raises(Exception, match=r"view mine depends on view auth0\.live_users") as refused:
        migrate(Database(url=url), HEAD)
    assert "create them again" in str(refused.value)
    database.execute("DROP VIEW public.mine")
    assert migrate(Database(url=url), HEAD)["from"] == "0004"
