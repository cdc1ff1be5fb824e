"""A user's own migrations beside the product's, over made-up releases of the product."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from pipeline.functions.migrate import LosesData, migrate
from pipeline.migration.__main__ import create
from pipeline.migration.files import DIRECTORY, BadMigrations
from pipeline.settings import Database
from tests.releases import Release

PLAN = (
    'op.execute("ALTER TABLE auth0.user_rows ADD plan text")',
    'op.execute("ALTER TABLE auth0.user_rows DROP plan")',
)
REGION = (
    'op.execute("ALTER TABLE auth0.user_rows ADD region text")',
    'op.execute("ALTER TABLE auth0.user_rows DROP region")',
)


@pytest.fixture
def release(tmp_path: Path) -> Any:
    return Release(tmp_path)


@pytest.fixture
def database(empty_postgres_url: str) -> Any:
    return Target(empty_postgres_url)


class Target:
    def __init__(self, url: Any) -> None:
        self.url = url

    def migrate(self, release: Any, revision: Any = "head", *, allow_data_loss: bool = True) -> Any:
        return migrate(Database(url=self.url), revision, allow_data_loss=allow_data_loss, directory=release.directory)

    def run(self, statement: Any) -> Any:
        with psycopg.connect(self.url) as connection:
            return connection.execute(statement).fetchall()

    @property
    def rows(self) -> Any:
        return sorted(row for (row,) in self.run("SELECT version_num FROM auth0.alembic_version"))

    @property
    def columns(self) -> Any:
        """Return the columns that are not of today's product, in the order in which they were added."""
        found = self.run(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'auth0.user_rows'::regclass AND attnum > 0"
            " AND NOT attisdropped ORDER BY attnum"
        )
        names = [name for (name,) in found]
        return names[names.index("carried") + 1 :]


def test_a_release_comes_to_a_database_with_a_migration_of_the_users_own(database: Any, release: Any) -> None:
    today = release.head
    own = release.own("plan", *PLAN)
    assert database.migrate(release) == {"from": None, "to": today, "own": {"from": None, "to": own}}
    assert database.rows == [today, own]
    row = "INSERT INTO auth0.user_rows (user_id, updated_at, version, source, event_id, plan)"
    database.run(f"{row} VALUES ('a', now(), '', '', '', 'pro') RETURNING 1")

    new = release.product("region", *REGION)
    assert database.migrate(release) == {"from": today, "to": new, "own": {"from": own, "to": own}}
    assert database.columns == ["plan", "region"]
    assert database.run("SELECT plan FROM auth0.user_rows") == [("pro",)]
    assert database.migrate(release)["from"] == new


def test_a_migration_of_the_users_own_comes_to_a_database_with_the_release(database: Any, release: Any) -> None:
    release.product("region", *REGION)
    database.migrate(release)
    own = release.own("plan", *PLAN)
    assert database.migrate(release)["own"] == {"from": None, "to": own}
    assert database.columns == ["region", "plan"]


def test_a_new_database_gets_both_in_the_order_in_which_an_old_one_got_them(database: Any, release: Any) -> None:
    release.own("plan", *PLAN)
    release.product("region", *REGION)
    release.own("tier", 'op.execute("ALTER TABLE auth0.user_rows ADD tier text")')
    release.product("shop", 'op.execute("ALTER TABLE auth0.user_rows ADD shop text")')
    database.migrate(release)
    assert database.columns == ["plan", "region", "tier", "shop"]
    assert database.rows == [release.head, *sorted(path.name[:13] for path in release.directory.glob("own/u*.py"))[-1:]]


def test_the_users_own_wait_for_what_they_depend_on(database: Any, release: Any) -> None:
    today, new = release.head, release.product("region", *REGION)
    own = release.own(
        "copy", 'op.execute("ALTER TABLE auth0.user_rows ADD copy text GENERATED ALWAYS AS (region) STORED")'
    )
    database.migrate(release, today)
    assert database.rows == [today]
    assert database.migrate(release, own) == {"from": today, "to": new, "own": {"from": None, "to": own}}


def test_without_depends_on_it_runs_after_the_product(database: Any, release: Any) -> None:
    own = release.own("plan", *PLAN)
    release.edit(own, depends_on=None)
    release.product("region", *REGION)
    database.migrate(release)
    assert database.columns == ["region", "plan"]


def test_a_release_fails_and_the_users_own_that_it_follows_stay(database: Any, release: Any) -> None:
    today, own = release.head, release.own("plan", *PLAN)
    release.product("region", 'op.execute("SELECT nonsense")')
    with pytest.raises(sa.exc.ProgrammingError, match="nonsense"):
        database.migrate(release)
    assert database.rows == [today, own]


def test_a_number_of_the_product_is_refused_for_the_users_own(database: Any, release: Any) -> None:
    """An upgrade would bring another migration of that number, and skip it."""
    database.migrate(release)
    new = release.product("promote_plan", *PLAN)
    database.migrate(release)
    upstream = release.file(new).with_name(f"{new}_region.py")
    upstream.write_text(release.file(new).read_text().replace(PLAN[0], REGION[0]))
    with pytest.raises(BadMigrations) as refused:
        database.migrate(release)
    said = str(refused.value)
    assert f"migrations/versions/{new}_promote_plan.py and migrations/versions/{new}_region.py are both" in said
    assert "make own-migration" in said
    assert database.columns == ["plan"]


def test_unfinished_migration_does_not_count_as_run(database: Any, release: Any) -> None:
    create("plan", directory=release.directory)
    with pytest.raises(sa.exc.ProgrammingError, match='syntax error at or near "the"'):
        database.migrate(release)
    assert database.rows == [release.head]


# By name


def test_a_number_moves_its_branch_alone(database: Any, release: Any) -> None:
    today, new = release.head, release.product("region", *REGION)
    database.migrate(release, new)
    own, later = release.own("plan", *PLAN), release.own("nothing")
    release.edit(own, depends_on=today)
    release.edit(later, depends_on=today)
    database.migrate(release)

    assert database.migrate(release, today)["own"] == {"from": later, "to": later}
    assert database.columns == ["plan"]
    assert database.migrate(release, today) == {"from": today, "to": today, "own": {"from": later, "to": later}}
    assert database.migrate(release, own) == {"from": today, "to": today, "own": {"from": later, "to": own}}
    assert database.migrate(release, new)["own"] == {"from": own, "to": own}
    assert database.migrate(release, "own@base") == {"from": new, "to": new, "own": {"from": own, "to": None}}
    assert database.columns == ["region"]
    assert database.migrate(release, "own@head")["own"] == {"from": None, "to": later}


def test_revision_that_a_users_migration_depends_on_is_not_downgraded(database: Any, release: Any) -> None:
    today, new = release.head, release.product("region", *REGION)
    own = release.own("plan", *PLAN)
    database.migrate(release)
    with pytest.raises(BadMigrations, match=f"would be taken back: {own}. Take these back first"):
        database.migrate(release, today)
    assert database.columns == ["region", "plan"]
    database.migrate(release, "own@base")
    assert database.migrate(release, today) == {"from": new, "to": today}


@pytest.mark.parametrize("revision", ["own@base", "base"])
def test_the_users_own_are_not_taken_back_by_a_slip(database: Any, release: Any, revision: Any) -> None:
    own = release.own("plan", *PLAN)
    database.migrate(release)
    with pytest.raises(LosesData, match=own):
        database.migrate(release, revision, allow_data_loss=False)
    assert database.columns == ["plan"]


def test_base_takes_everything_back_the_users_own_first(database: Any, release: Any) -> None:
    own = release.own("view", 'op.execute("CREATE VIEW public.mine AS SELECT * FROM auth0.live_users")')
    release.edit(own, depends_on=None)
    text = release.file(own).read_text()
    release.file(own).write_text(
        text.replace(
            "def downgrade() -> None:\n    pass", 'def downgrade() -> None:\n    op.execute("DROP VIEW public.mine")'
        )
    )
    database.migrate(release)
    assert database.migrate(release, "base") == {"from": release.head, "to": None, "own": {"from": own, "to": None}}
    assert database.rows == []


# Packages that lack what the database has


def test_an_earlier_package_leaves_both_branches_alone(database: Any, release: Any, tmp_path: Path) -> None:
    today, own = release.head, release.own("plan", *PLAN)
    new, later = release.product("region", *REGION), release.own("nothing")
    database.migrate(release)
    earlier = release.without(new, later, to=tmp_path / "earlier")
    at = {"from": new, "to": new, "own": {"from": later, "to": later}}
    assert database.migrate(earlier) == at
    for revision in (today, own, "base", "own@base"):
        with pytest.raises(BadMigrations, match="lacks, so nothing can be taken back"):
            database.migrate(earlier, revision)
    assert database.migrate(release) == at
    assert database.columns == ["plan", "region"]


def test_a_package_without_the_users_own_still_migrates_the_product(
    database: Any, release: Any, tmp_path: Path
) -> None:
    own = release.own("plan", *PLAN)
    database.migrate(release)
    clone = release.without(own, to=tmp_path / "clone")
    new = clone.product("region", *REGION)
    assert database.migrate(clone)["to"] == new
    assert database.rows == [new, own]


def test_clone_without_the_migration_that_has_run_is_refused(database: Any, release: Any, tmp_path: Path) -> None:
    own = release.own("plan", *PLAN)
    database.migrate(release)
    clone = release.without(own, to=tmp_path / "clone")
    clone.own("other", now=datetime(2999, 1, 1, tzinfo=UTC))
    with pytest.raises(BadMigrations, match=rf"the database has run {own}, which this package lacks.*own/{own}_"):
        database.migrate(clone)
    assert database.rows == [release.head, own]


def test_an_earlier_product_runs_the_users_own_that_suit_it(database: Any, release: Any, tmp_path: Path) -> None:
    new = release.product("region", *REGION)
    database.migrate(release)
    own = release.own("plan", *PLAN)  # depends on the newer product, which the database has
    earlier = release.without(new, to=tmp_path / "earlier")
    assert database.migrate(earlier) == {"from": new, "to": new, "own": {"from": None, "to": own}}


def test_dependency_on_a_future_version_is_refused(database: Any, release: Any, tmp_path: Path) -> None:
    new = release.product("region", *REGION)
    own = release.own("plan", *PLAN)
    earlier = release.without(new, to=tmp_path / "earlier")
    with pytest.raises(BadMigrations, match=f"{own} depends on {new}, which neither the database nor this package has"):
        database.migrate(earlier)
    assert database.run("SELECT to_regclass('auth0.user_rows')") == [(None,)]


@pytest.mark.parametrize("rows", [["abc"], ["0001", "0002"], ["u202611260930", "u202611260931"]])
def test_a_version_table_that_was_changed_by_hand_is_refused(database: Any, release: Any, rows: Any) -> None:
    database.migrate(release)
    with psycopg.connect(database.url) as connection:
        connection.execute("DELETE FROM auth0.alembic_version")
        connection.cursor().executemany("INSERT INTO auth0.alembic_version VALUES (%s)", [(row,) for row in rows])
    with pytest.raises(BadMigrations, match="alembic_version has"):
        database.migrate(release)


@pytest.mark.parametrize("command", [["upgrade", "heads"], ["downgrade", "base"], ["stamp", "heads"]])
def test_alembics_own_commands_are_refused(database: Any, command: Any) -> None:
    """They would keep one row for both branches."""
    done = subprocess.run(
        [sys.executable, "-m", "alembic", *command],
        cwd=DIRECTORY.parent,
        env=os.environ | {"DATABASE_URL": database.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "use auth0-sync migrate" in done.stderr
    assert done.returncode != 0
    assert database.run("SELECT to_regnamespace('auth0')") == [(None,)]
