"""The cost of programs' queries: the plans of joins by ``user_id``, and of queries of recent changes."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pipeline.functions.migrate import migrate
from pipeline.migration import views
from pipeline.settings import Database
from pipeline.sinks.postgres import PostgresSink
from tests.emulator.support import wait_for
from tests.releases import HEAD, Release
from tests.strategies import changes, updated, user

USERS = 5000
FILL = f"""
INSERT INTO auth0.user_rows (user_id, email, updated_at, synced_at, version, source, event_id)
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
    database.execute("VACUUM ANALYZE auth0.user_rows")
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
    assert "ix_user_rows_user_id" in found or "pk_user_rows" in found
    assert "Seq Scan" not in found


@pytest.mark.parametrize("column", ["synced_at", "updated_at"])
def test_query_for_recent_changes_reads_few_pages(filled: psycopg.Connection, sink: PostgresSink, column: str) -> None:
    """Three users in the middle of the table change; of the pages of the table next to none is read."""
    assert sink.apply(changes(*(updated(user(f"auth0|{n}")) for n in (7, 2500, 4990)))).failed == {}
    query = f"SELECT user_id FROM auth0.users WHERE {column} > '2021-01-01'"
    [(found,)] = filled.execute(f"EXPLAIN (ANALYZE, FORMAT json) {query}")
    [root] = found
    scan = root["Plan"]
    assert (scan["Node Type"], scan["Plans"][0]["Index Name"]) == (
        "Bitmap Heap Scan",
        "ix_user_rows_synced_at_updated_at",
    )
    assert scan["Actual Rows"] == 3
    [(pages,)] = filled.execute("SELECT relpages FROM pg_class WHERE oid = 'auth0.user_rows'::regclass")
    assert scan["Lossy Heap Blocks"] <= 4 * 8 < pages / 2  # those of three users, and the end of the table


def test_an_update_stays_in_its_page(filled: psycopg.Connection, sink: PostgresSink) -> None:
    """The first change brings e-mail address and metadata, which have indexes of other kinds; the next does not."""
    for moment in ("2026-01-15T09:00:00Z", "2026-01-15T09:00:01Z"):
        batch = changes(*(updated(user(f"auth0|{n}", moment)) for n in range(100, USERS, 100)))
        assert sink.apply(batch).failed == {}
    sink.close()  # which sends what it has counted
    counted = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'auth0.user_rows'::regclass"
    wait_for(lambda: filled.execute(counted).fetchone() == (2 * 49, 49))


# The view is made anew


@pytest.fixture
def before(empty_postgres_url: str) -> Iterator[tuple[psycopg.Connection, str]]:
    """Yield a database with a column in the view that its owner has promoted, and a reader."""
    migrate(Database(url=empty_postgres_url))
    with psycopg.connect(empty_postgres_url, autocommit=True) as database:
        database.execute("ALTER TABLE auth0.user_rows ADD COLUMN plan text")
        database.execute(views.with_column("live_users", "plan"))
        database.execute('CREATE ROLE "a reader"')
        database.execute('GRANT SELECT ON auth0.live_users TO "a reader" WITH GRANT OPTION')
        database.execute("GRANT SELECT (email) ON auth0.live_users TO PUBLIC")
        try:
            yield database, empty_postgres_url
        finally:
            database.execute('DROP OWNED BY "a reader"')
            database.execute('DROP ROLE "a reader"')


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """Return a later release of the product, which shows a column in another collation: that takes a new view."""
    release = Release(tmp_path)
    change = "from pipeline.migration import views\n    op.execute(views.changed('live_users', {!r}, {!r}))"
    shown, bytewise = "    email,", '    (email COLLATE "C") AS email,'
    release.product(
        "bytewise", change.format(shown, bytewise), change.format(r'    \(email COLLATE "C"\) AS email,', shown)
    )
    return release


COLLATION = """
SELECT collname::text FROM pg_attribute JOIN pg_collation ON pg_collation.oid = attcollation
WHERE attrelid = 'auth0.live_users'::regclass AND attname = 'email'
"""
RIGHTS = """
SELECT attname::text, acl::text FROM (
    SELECT '' AS attname, unnest(relacl) AS acl FROM pg_class WHERE oid = 'auth0.live_users'::regclass
    UNION ALL SELECT attname, unnest(attacl) FROM pg_attribute WHERE attrelid = 'auth0.live_users'::regclass
) AS rights ORDER BY 1, 2
"""


def test_the_view_keeps_its_columns_and_rights(before: tuple[psycopg.Connection, str], release: Release) -> None:
    database, url = before
    shown = "SELECT * FROM auth0.live_users LIMIT 0"
    columns = names(database.execute(shown))
    rights = database.execute(RIGHTS).fetchall()
    assert columns[-1] == "plan"
    assert len(rights) == 3
    for revision, expected in ((release.head, "C"), (HEAD, "default"), (release.head, "C")):
        migrate(Database(url=url), revision, allow_data_loss=True, directory=release.directory)
        assert names(database.execute(shown)) == columns
        assert database.execute(RIGHTS).fetchall() == rights
        [(collation,)] = database.execute(COLLATION).fetchall()
        assert collation == expected


def test_a_view_on_the_view_is_named(before: tuple[psycopg.Connection, str], release: Release) -> None:
    database, url = before
    database.execute("CREATE VIEW public.mine AS SELECT user_id FROM auth0.live_users")
    with pytest.raises(Exception, match=r"view mine depends on view auth0\.live_users") as refused:
        migrate(Database(url=url), directory=release.directory)
    assert "create them again" in str(refused.value)
    database.execute("DROP VIEW public.mine")
    assert migrate(Database(url=url), directory=release.directory)["from"] == HEAD


def test_a_column_at_the_end_keeps_the_views_on_the_view(before: tuple[psycopg.Connection, str]) -> None:
    database, _ = before
    database.execute("CREATE VIEW public.mine AS SELECT user_id, plan FROM auth0.live_users")
    database.execute("ALTER TABLE auth0.user_rows ADD COLUMN plan_b text")
    database.execute(views.with_column("live_users", "plan_b"))
    shown = "SELECT * FROM auth0.live_users LIMIT 0"
    assert names(database.execute(shown))[-2:] == ["plan", "plan_b"]
    database.execute("DROP VIEW public.mine")
    database.execute(views.without_column("live_users", "plan"))
    assert names(database.execute(shown))[-2:] == ["synced_at", "plan_b"]
    with pytest.raises(psycopg.errors.RaiseException, match="would stay as it is"):
        database.execute(views.without_column("live_users", "plan"))
