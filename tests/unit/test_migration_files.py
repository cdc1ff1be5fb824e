"""The files of migrations: what `make own-migration` writes, and which files are refused with what advice."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.migration.__main__ import main
from pipeline.migration.files import DIRECTORY, BadMigrations, Migrations
from pipeline.packaging import sources
from pipeline.packaging.functions import FUNCTIONS
from tests.releases import Release

NOW = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path)


def said(release: Release) -> str:
    with pytest.raises(BadMigrations) as refused:
        Migrations(release.directory)
    return str(refused.value)


def test_the_migrations_of_the_repository_are_good() -> None:
    found = Migrations()
    assert [script.revision for script in found.product] == [f"{n:04}" for n in range(1, len(found.product) + 1)]


def test_the_users_own_are_numbered_by_the_minute_and_depend_on_the_product_of_their_day(release: Release) -> None:
    assert release.own("promote_plan", now=NOW) == "u202611260930"
    new = release.product("region")
    assert release.own("next", now=NOW) == "u202611260931"
    assert release.own("from a machine whose clock is late", now=NOW.replace(year=2025)) == "u202611260932"
    found = Migrations(release.directory)
    first, *_, last = found.own
    assert Path(first.path).name == "u202611260930_promote_plan.py"
    assert first.branch_labels == {"own"}
    assert last.down_revision == "u202611260931"
    assert found.needs[first.revision] == f"{int(new) - 1:04}"
    assert found.needs[last.revision] == new
    assert [script.doc for script in found.own] == ["Promote plan.", "Next.", "From a machine whose clock is late."]


def test_written_migration_passes_the_checks(release: Release) -> None:
    sql = 'op.execute("SELECT 1")'
    made = [release.own("a", sql, sql), release.own("b", sql, sql), release.product("c", sql, sql)]
    files = [str(release.file(revision)) for revision in made]
    for command in (["check", "--ignore", "D103,N999"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--config", str(DIRECTORY.parent / "pyproject.toml")]
        subprocess.run([*ruff, *files], check=True, capture_output=True)


@pytest.mark.parametrize("name", ["", '"""', "../x", "é"])
def test_invalid_name_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([name])
    assert "NAME=promote_plan" in capsys.readouterr().err


@pytest.mark.parametrize("revision", ["0006", "u0001", "promote_plan"])
def test_a_number_of_another_kind(release: Release, revision: object) -> None:
    release.edit(release.own("x", now=NOW), revision=revision)
    text = said(release)
    assert f"migrations/own/u202611260930_x.py has the revision {revision!r}" in text
    assert "make own-migration" in text


def test_a_number_of_the_users_own_among_the_products(release: Release) -> None:
    release.edit(release.product("x"), revision="u202611260930")
    assert "one of your own goes to migrations/own: make own-migration" in said(release)


def test_two_files_of_one_number(release: Release) -> None:
    own = release.own("x", now=NOW)
    release.file(own).with_name(f"{own}_y.py").write_text(release.file(own).read_text())
    text = said(release)
    assert "migrations/own/u202611260930_x.py and migrations/own/u202611260930_y.py are both" in text
    assert "a later number" in text


def test_two_migrations_with_the_same_predecessor(release: Release) -> None:
    """Two colleagues may make them on two branches of the repository."""
    first, second, third = (release.own(name, now=NOW) for name in "xyz")
    release.edit(third, down_revision=first)
    assert f"own/{third}_z.py follows {first}, and must follow {second}" in said(release)


@pytest.mark.parametrize("down", [None, "u209901010000"])
def test_a_gap(release: Release, down: str | None) -> None:
    release.own("x", now=NOW)
    release.edit(release.own("y", now=NOW), down_revision=down)
    assert f"follows {down}, and must follow u202611260930" in said(release)


@pytest.mark.parametrize("variable", ["depends_on", "down_revision"])
def test_depends_on_itself(release: Release, variable: str) -> None:
    own = release.own("x", now=NOW)
    release.edit(own, **{variable: own})
    assert "Alembic cannot read the files" in said(release)


@pytest.mark.parametrize("names", ["u202611260929", "head", ("0001", "own")])
def test_depends_on_a_revision_outside_of_the_product(release: Release, names: object) -> None:
    release.edit(release.own("x", now=NOW), depends_on=names)
    assert "depends_on is for revisions of the product" in said(release)


def test_depends_on_several(release: Release) -> None:
    own = release.own("x", now=NOW)
    release.edit(own, depends_on=("0003", "0001"))
    assert Migrations(release.directory).needs[own] == "0003"


def test_the_functions_package_has_what_migrations_of_ones_own_import() -> None:
    names = [name for name, _ in sources.files(FUNCTIONS["migrate"])]
    assert "pipeline/migration/views.py" in names
