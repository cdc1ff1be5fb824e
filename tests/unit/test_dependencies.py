"""The dependencies that pyproject.toml names are those that requirements/ pins, and that the command needs."""

import tomllib
from pathlib import Path

import pytest

from tests.unit.test_layout import ROOT, loaded

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def named(file: Path) -> set[str]:
    """Return the packages that a file of requirements names, with those of the files that it includes."""
    found: set[str] = set()
    for line in file.read_text().splitlines():
        if line.startswith("-r "):
            found |= named(file.parent / line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            found.add(line)
    return found


def test_the_project_names_what_the_requirements_name() -> None:
    extras = [name for extra in PROJECT["optional-dependencies"].values() for name in extra]
    every = [*PROJECT["dependencies"], *extras]
    assert sorted(every) == sorted(named(ROOT / "requirements" / "dev.in"))


def test_requirements_name_no_index() -> None:
    for file in (ROOT / "requirements").iterdir():
        assert "://" not in file.read_text(), file


@pytest.mark.parametrize("missing", ["psutil", "elftools"])
def test_deploying_command_without_the_extra_names_it(missing: str) -> None:
    code = f"sys.modules[{missing!r}] = None\n"
    code += "from pipeline.cli.app import load; from pipeline.errors import CommandError\n"
    code += "try: load('plan')\nexcept CommandError as error: print(error)"
    assert "'auth0-sync[deploy]'" in loaded(code, "typer")


@pytest.mark.parametrize("command", ["user", "sql", "roles", "ask"])
def test_reading_commands_need_no_extras(command: str) -> None:
    others = {"psutil", "elftools", "sqlalchemy", "alembic", "cryptography", "duckdb"}
    assert loaded(f"from pipeline.cli.app import load; load({command!r})", "typer", *others) == {"typer"}
