"""docs/sql.md: every query runs on a database that the real handler filled, and prints what the page says.

Roles are those of a deployment, made by a master user such as that of RDS: none of them is a superuser.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors as refusals

from devstack import postgres
from devstack.traffic import ExpectedState, Traffic, envelope, sqs_record
from pipeline import roles, schema
from pipeline.functions.migrate import migrate
from pipeline.migration.__main__ import create
from pipeline.settings import Database
from tests import aurora
from tests.aurora import Cluster
from tests.invoking import sync_function
from tests.releases import HEAD, Release
from tests.strategies import Json, updated, user

MIGRATOR, WRITER, READER, QUERY = roles.NAMES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sql.md").read_text("utf-8")
QUESTIONS = re.findall(r"^### (.+?)\n.*?^```sql\n(.*?)^```\n\n```text\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
TITLES = [title for title, _, _ in QUESTIONS]

_random = Random(1)
LONGEST, LONGER = ("".join(chr(_random.randrange(0x1F300, 0x1F900)) for _ in range(length)) for length in (500, 5000))
PROMOTION: tuple[tuple[Any, str | None], ...] = (
    ("pro", "pro"), ("", ""), ("é😀", "é😀"), (LONGEST, LONGEST), (LONGER, None), (5, None), (1e300, None),
    (True, None), (None, None), ([], None), (["pro"], None), ({"plan": "pro"}, None),
)  # fmt: skip
"""Values of the key, and what the column has for them. An index takes neither the longer text nor what is no text."""


def block(tag: str) -> str:
    found: list[str] = re.findall(rf"^```{tag}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(found) == 1
    return found[0]


def names(cursor: psycopg.Cursor) -> list[str]:
    """Return the columns of a result."""
    return [column.name for column in cursor.description or []]


def printed(cursor: psycopg.Cursor) -> str:
    """Return a result as psql shows it, but for the padding at the right."""
    result = cursor.pgresult
    assert result
    rows = [names(cursor)]
    rows += [
        [(result.get_value(row, column) or b"").decode() for column in range(result.nfields)]
        for row in range(result.ntuples)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-+-".join("-" * width for width in widths), *lines[1:], ""])


@pytest.fixture(scope="module")
def cluster(postgres_server: str) -> Iterator[aurora.Cluster]:
    with aurora.cluster(postgres_server) as found:
        yield found


def deploy(cluster: aurora.Cluster) -> aurora.Cluster:
    """Make the roles and the schema as a deployment does."""
    with cluster.connect() as master, master.transaction():
        for statement in roles.statements():
            master.execute(statement)
    migrate(Database(url=cluster.url_of(MIGRATOR)), HEAD)
    return cluster


@pytest.fixture(scope="module")
def tenant(cluster: aurora.Cluster) -> tuple[aurora.Cluster, ExpectedState]:
    """Return a database as traffic leaves it, with history on, and the state that it must have."""
    deploy(cluster)
    traffic = Traffic(events=2000, users=150, seed=11)
    records = [sqs_record(envelope(event), f"m{number}") for number, event in enumerate(traffic)]
    with (
        pytest.MonkeyPatch.context() as patch,
        sync_function(patch, SINK="postgres", DATABASE_URL=cluster.url_of(WRITER), HISTORY="on") as function,
    ):
        for start in range(0, len(records), 100):
            assert function.invoke(records[start : start + 100]) == []
    return cluster, traffic.expected


@pytest.fixture
def empty(postgres_server: str, cluster: aurora.Cluster) -> Iterator[aurora.Cluster]:
    """Yield another database of the cluster, deployed and without users."""
    name = f"aurora_{uuid4().hex[:12]}"
    cluster.run(f"CREATE DATABASE {name}")
    yield deploy(aurora.Cluster(postgres.database_url(postgres_server, name)))
    postgres.drop_database(postgres_server, name)


@pytest.fixture
def mirror(tenant: tuple[aurora.Cluster, ExpectedState]) -> Iterator[psycopg.Connection]:
    with psycopg.connect(tenant[0].url_of(READER), options="-c timezone=UTC") as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def live(tenant: tuple[aurora.Cluster, ExpectedState]) -> dict[str, Json]:
    return tenant[1].live


def answer(mirror: psycopg.Connection, number: int) -> list[tuple[Any, ...]]:
    return mirror.execute(QUESTIONS[number - 1][1]).fetchall()


def metadata(live: dict[str, Json], key: str) -> Json:
    """Return the values of a key among those who have it, by user id."""
    found = {user_id: profile.get("user_metadata", {}) for user_id, profile in live.items()}
    return {user_id: values[key] for user_id, values in found.items() if key in values}


def test_there_are_ten_questions_and_two_of_history() -> None:
    assert [title.split(".")[0] for title in TITLES[:10]] == [str(number) for number in range(1, 11)]
    assert len(TITLES) == 12
    assert PAGE.count("```sql\n") == 12


@pytest.mark.parametrize(("title", "query", "expected"), QUESTIONS, ids=TITLES)
def test_the_query_prints_what_the_page_says(mirror: psycopg.Connection, title: str, query: str, expected: str) -> None:
    assert printed(mirror.execute(query)) == expected
    assert len(expected.splitlines()) > 2


# The right answers, from the traffic's own account


def test_users_by_connection(mirror: psycopg.Connection, live: dict[str, Any]) -> None:
    expected: dict[str, tuple[int, int]] = {}
    for profile in live.values():
        connection = profile["identities"][0]["connection"]
        users, blocked = expected.get(connection, (0, 0))
        expected[connection] = users + 1, blocked + bool(profile.get("blocked"))
    assert {connection: counts for connection, *counts in answer(mirror, 1)} == {
        connection: list(counts) for connection, counts in expected.items()
    }


def test_metadata_keys(mirror: psycopg.Connection, live: dict[str, Any]) -> None:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    expected: dict[tuple[str, ...], dict[str, int]] = {}
    for profile in live.values():
        for key, value in profile.get("user_metadata", {}).items():
            nested = value.items() if isinstance(value, dict) else ()
            for path, found in [((key,), value), *(((key, inner), deep) for inner, deep in nested)]:
                types = expected.setdefault(path, {})
                kind = names.get(type(found), "null")
                types[kind] = types.get(kind, 0) + 1
    rows = mirror.execute("SELECT path, key, users, types FROM auth0.metadata_keys").fetchall()
    assert {tuple(path): types for path, _, _, types in rows} == expected
    assert all(key == ".".join(path) and users == sum(types.values()) for path, key, users, types in rows)


def test_users_by_value(mirror: psycopg.Connection, live: dict[str, Any]) -> None:
    pro = {user_id for user_id, plan in metadata(live, "plan").items() if plan == "pro"}
    newest = sorted(pro, key=lambda user_id: live[user_id]["updated_at"], reverse=True)[:5]
    assert [row[0] for row in answer(mirror, 4)] == newest


def test_users_by_nested_values(mirror: psycopg.Connection, live: dict[str, Any]) -> None:
    themes = metadata(live, "preferences")
    chess = {user_id for user_id, interests in metadata(live, "interests").items() if "chess" in interests}
    expected = sorted(user_id for user_id in chess & themes.keys() if themes[user_id]["theme"] == "dark")
    assert [row[0] for row in answer(mirror, 5)] == expected[:5]


def test_numbers(mirror: psycopg.Connection, live: dict[str, Any]) -> None:
    points, plans = metadata(live, "loyalty_points"), metadata(live, "plan")
    for plan, users, _, most in answer(mirror, 7):
        found = [points[user_id] for user_id in points.keys() & plans.keys() if plans[user_id] == plan]
        assert (users, most) == (len(found), max(found))


def test_what_changed(mirror: psycopg.Connection, tenant: tuple[aurora.Cluster, ExpectedState]) -> None:
    expected = tenant[1]
    for user_id, _, deleted in answer(mirror, 10):
        assert (user_id in expected.deleted, user_id in expected.live) == (deleted, not deleted)


def test_the_index_is_used_through_the_view(mirror: psycopg.Connection) -> None:
    mirror.execute("SET enable_seqscan = off")
    for number, index in (
        (2, "ix_user_rows_email"),
        (4, "ix_user_rows_user_metadata"),
        (5, "ix_user_rows_user_metadata"),
    ):
        plan = "\n".join(line for (line,) in mirror.execute(f"EXPLAIN {QUESTIONS[number - 1][1]}"))
        assert index in plan, number


def test_retention_and_erasure(tenant: tuple[aurora.Cluster, ExpectedState]) -> None:
    count = "SELECT count(*) FROM auth0.user_history WHERE user_id = 'sms|d00573de2d85191700000006'"
    with psycopg.connect(tenant[0].url_of(MIGRATOR)) as owner:
        assert owner.execute(count).fetchone() != (0,)
        owner.execute(block("sql retention"))
        assert owner.execute(count).fetchone() != (0,)
        owner.execute(block("sql erase"))
        assert owner.execute(count).fetchone() == (0,)
        owner.execute("UPDATE auth0.user_history SET recorded_at = now() - interval '1 year'")
        owner.execute(block("sql retention"))
        assert owner.execute("SELECT count(*) FROM auth0.user_history").fetchone() == (0,)
        owner.rollback()


@pytest.mark.parametrize("tag", ["sql retention", "sql erase", "sql promote"])
@pytest.mark.parametrize("role", [WRITER, READER, aurora.MASTER])
def test_statements_that_need_the_owner(tenant: tuple[aurora.Cluster, ExpectedState], role: str, tag: str) -> None:
    first = block(tag).split(";")[0]
    with tenant[0].connect(role) as connection:
        connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(refusals.InsufficientPrivilege):
            connection.execute(first)


def test_a_role_of_your_own_reads_the_live_users_only(tenant: tuple[aurora.Cluster, ExpectedState]) -> None:
    cluster = tenant[0]
    cluster.run("CREATE ROLE reader LOGIN", f"GRANT CONNECT ON DATABASE {cluster.url.rpartition('/')[2]} TO reader")
    try:
        cluster.run(*filter(str.strip, block("sql grant").split(";")), user=MIGRATOR)
        assert cluster.run("SELECT count(*) FROM auth0.live_users", user="reader") > [(0,)]
        with pytest.raises(refusals.InsufficientPrivilege):
            cluster.run("SELECT count(*) FROM auth0.users", user="reader")
    finally:
        with psycopg.connect(cluster.url, autocommit=True) as superuser:
            superuser.execute("DROP OWNED BY reader")
            superuser.execute("DROP ROLE reader")


# A promoted key


MIGRATION = "\n".join(code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "revision =" in code)


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_the_migration_passes_the_checks(command: list[str]) -> None:
    ruff = [
        sys.executable,
        "-m",
        "ruff",
        *command,
        "--stdin-filename",
        "migrations/own/u202611260930_promote_plan.py",
        "-",
    ]
    done = subprocess.run(ruff, input=MIGRATION, cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


def promoted(tmp_path: Path) -> Path:
    """Return the product's migrations, and that of the page in the file that `make own-migration` makes."""
    release = Release(tmp_path)
    made = create("promote_plan", directory=release.directory, now=datetime(2026, 11, 26, 9, 30, tzinfo=UTC))
    variables = re.compile(r"^(?:revision|down_revision|branch_labels) = .*$", re.MULTILINE)
    assert variables.findall(MIGRATION) == variables.findall(made.read_text())
    assert made.name == "u202611260930_promote_plan.py"
    made.write_text(MIGRATION)
    return release.directory


def test_a_key_becomes_a_column(monkeypatch: pytest.MonkeyPatch, empty: Cluster, tmp_path: Path) -> None:
    before = [user(f"auth0|{n:02}", user_metadata={"plan": value}) for n, (value, _) in enumerate(PROMOTION)]
    after = [profile | {"user_id": profile["user_id"].replace("auth0", "later")} for profile in before]
    with sync_function(monkeypatch, SINK="postgres", DATABASE_URL=empty.url_of(WRITER)) as function:
        assert function(*map(updated, before)) == []
        empty.run(*filter(str.strip, block("sql grant").replace("reader", aurora.MASTER).split(";")), user=MIGRATOR)
        database, directory = Database(url=empty.url_of(MIGRATOR)), promoted(tmp_path)
        assert migrate(database, directory=directory)["own"] == {"from": None, "to": "u202611260930"}
        assert function(*map(updated, after), updated(user("auth0|none"))) == []
    rows = dict(empty.run("SELECT user_id, plan FROM auth0.live_users", user=READER))
    expected = {f"{who}|{n:02}": column for who in ("auth0", "later") for n, (_, column) in enumerate(PROMOTION)}
    assert rows == expected | {"auth0|none": None}
    assert empty.run("SELECT count(*) FROM auth0.live_users") == [(len(expected) + 1,)]  # what was granted stays
    plan = empty.run("SET enable_seqscan = off", "EXPLAIN SELECT * FROM live_users WHERE plan = 'pro'", user=READER)
    assert "ix_user_rows_plan" in str(plan)
    migrate(database, "own@base", allow_data_loss=True, directory=directory)
    with empty.connect(READER) as reader:
        columns = names(reader.execute("SELECT * FROM auth0.live_users LIMIT 0"))
    assert columns == schema.live_columns


def test_a_key_gets_an_index_without_a_column(monkeypatch: pytest.MonkeyPatch, empty: Cluster) -> None:
    points: tuple[Any, ...] = (5, 5.5, -1, "5", None, True, [], {}, 2**63, 1e300, 2**63 - 1)
    profiles = [user(f"auth0|{n:02}", user_metadata={"loyalty_points": value}) for n, value in enumerate(points)]
    with sync_function(monkeypatch, SINK="postgres", DATABASE_URL=empty.url_of(WRITER)) as function:
        assert function(*map(updated, profiles[:4])) == []
        empty.run(*filter(str.strip, block("sql promote").split(";")), user=MIGRATOR)
        empty.run(*filter(str.strip, block("sql promote view").split(";")), user=aurora.MASTER)
        assert function(*map(updated, profiles)) == []
    rows = empty.run("SELECT points FROM reports.loyalty ORDER BY user_id", user=READER)
    assert [row[0] for row in rows] == [5, None, -1, None, None, None, None, None, None, None, 2**63 - 1]
    query = "SELECT * FROM reports.loyalty WHERE points > 4 ORDER BY points"
    plan = empty.run("SET enable_seqscan = off", f"EXPLAIN {query}", user=READER)
    assert "ix_user_rows_loyalty_points" in str(plan)


def rewrite() -> None:
    """Put what the queries print into the page: ``python -m tests.postgres.test_sql_docs`` with DATABASE_URL."""
    page = PAGE
    with psycopg.connect(os.environ["DATABASE_URL"], options="-c timezone=UTC") as connection:
        for _, query, text in QUESTIONS:
            old = f"```sql\n{query}```\n\n```text\n{text}```"
            page = page.replace(old, f"```sql\n{query}```\n\n```text\n{printed(connection.execute(query))}```")
    (ROOT / "docs" / "sql.md").write_text(page)


if __name__ == "__main__":
    rewrite()
