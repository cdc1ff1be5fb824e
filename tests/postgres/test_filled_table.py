"""The recipe of docs/database.md for a change to a filled table, while the sync goes on writing."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from pipeline.functions.migrate import migrate
from pipeline.settings import Database
from pipeline.sinks.postgres import PostgresSink
from tests.releases import Release
from tests.strategies import Json, changes, updated, user
from tests.threads import meanwhile

PAGE = (Path(__file__).parents[2] / "docs/database.md").read_text("utf-8")
RECIPE = PAGE.partition("## Change a filled table")[2].partition("\n## ")[0]
STEPS = [
    statement.strip()
    for block in re.findall(r"```sql fill\n(.*?)```", RECIPE, re.DOTALL)
    for statement in re.split(r";\n\n", block.strip().removesuffix(";"))
]
[MIGRATION] = re.findall(r"```python\n(.*?)```", RECIPE, re.DOTALL)
REGIONS = ("eu", "us", 5, None)
USERS = 2500
WRONG = "SELECT count(*) FROM auth0.user_rows WHERE region IS DISTINCT FROM auth0.as_text(user_metadata -> 'region')"


def batch(numbers: range, second: int = 0) -> list[Json]:
    moment = f"2026-01-15T09:{second // 60:02}:{second % 60:02}Z"
    return [
        updated(user(f"a|{n:04}", moment, user_metadata={"region": REGIONS[(n + second) % len(REGIONS)]}))
        for n in numbers
    ]


@pytest.fixture
def filled(database: psycopg.Connection, sink: PostgresSink) -> psycopg.Connection:
    assert sink.apply(changes(*batch(range(USERS)))).failed == {}
    return database


@contextmanager
def writing(make_sink: Callable[..., PostgresSink]) -> Iterator[None]:
    """Change users all the time, with the sync's own limits on waiting; none may fail."""
    sink, problems = make_sink(), list[object]()

    def write(done: threading.Event) -> None:
        second = 0
        while not done.is_set() or second < 3:
            second += 1
            try:
                start = second * 97 % USERS
                problems.extend(
                    sink.apply(changes(*batch(range(start, min(start + 50, USERS)), second))).failed.items()
                )
            except Exception as error:  # noqa: BLE001 - the test reports whatever it is
                problems.append(error)

    with meanwhile(write):
        yield
    assert problems == []


def test_the_recipe(
    filled: psycopg.Connection, make_sink: Callable[..., PostgresSink], postgres_url: str, tmp_path: Path
) -> None:
    release = Release(tmp_path)
    own = release.own("region")
    text = release.file(own).read_text()
    release.file(own).write_text(text[: text.index("def upgrade")] + MIGRATION)
    database = Database(url=postgres_url)
    assert len(STEPS) == 6
    with writing(make_sink):
        migrate(database, directory=release.directory)
        for step in STEPS:
            filled.execute(step)
            if step.startswith("DO"):
                assert filled.execute(WRONG).fetchone() == (0,)
    assert filled.execute(WRONG).fetchone() == (0,)
    assert filled.execute("SELECT count(DISTINCT region) FROM auth0.user_rows").fetchone() == (2,)
    [(valid,)] = filled.execute(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'auth0.ix_user_rows_region'::regclass"
    )
    assert valid
    migrate(database, "own@base", allow_data_loss=True, directory=release.directory)
    assert "region" not in [column.name for column in filled.execute("TABLE auth0.user_rows").description or ()]


def test_validation_finds_a_row_that_was_left_out(filled: psycopg.Connection) -> None:
    filled.execute("ALTER TABLE auth0.user_rows ADD region text")
    filled.execute(STEPS[3])
    with pytest.raises(psycopg.errors.CheckViolation):
        filled.execute(STEPS[4])
