"""Rules that import-linter (pyproject.toml) cannot check: no I/O in pure modules, and the imports of each start."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import commands
from pipeline.cli.app import load

ROOT = Path(__file__).parents[2]
PURE = ("errors", "events", "log_types", "changes", "senders", "batch")
WITHOUT_IO = {"collections", "datetime", "hashlib", "itertools", "re", "typing", "urllib.parse", "msgspec"}


def modules(room: Any) -> Any:
    found = ROOT / "pipeline" / room
    return sorted(found.rglob("*.py")) if found.is_dir() else [found.with_suffix(".py")]


def imported(path: Any) -> Iterator[Any]:
    """Yield every module that a file names in an import, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module in ("pipeline", "devstack"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def test_migrations_never_import_the_local_stack() -> None:
    """import-linter reads packages only."""
    paths = sorted((ROOT / "migrations").rglob("*.py"))
    assert paths
    assert [path for path in paths for name in imported(path) if name.split(".")[0] == "devstack"] == []


def test_the_command_loads_the_local_stack_by_its_entry_point_only() -> None:
    code = "import importlib.metadata as m; m.entry_points = lambda **_: ()\n"
    code += "from pipeline.cli import commands; from pipeline.cli.app import load\n"
    code += "all(load(name) for name in commands.COMMANDS)\n"
    code += "assert [name for name in sys.modules if name.split('.')[0] == 'devstack'] == []"
    assert loaded(code, "pipeline.cli.logs") == {"pipeline.cli.logs"}


def test_traffic_imports_nothing_of_the_product() -> None:
    """The final state that it says a sync must reach is an independent account."""
    paths = sorted((ROOT / "devstack" / "traffic").rglob("*.py"))
    assert paths
    for path in paths:
        ours = {name for name in imported(path) if name.split(".")[0] in ("pipeline", "devstack")}
        assert {name for name in ours if not f"{name}.".startswith("devstack.traffic.")} == set(), path


@pytest.mark.parametrize("room", PURE)
def test_pure_modules_do_no_io(room: Any) -> None:
    [path] = modules(room)
    others = {name for name in imported(path) if name.split(".")[0] != "pipeline"}
    assert {name for name in others if not any(f"{name}.".startswith(f"{pure}.") for pure in WITHOUT_IO)} == set()


def test_the_architecture_names_every_room_with_its_imports() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `pipeline/")]
    documented = {
        room: set(re.findall(r"`(\w+)`", row[2]))
        for row in rows
        for room in re.findall(r"`pipeline/(\w+)(?:\.py|/)`", row[0])
    }
    rooms = {path.stem for path in (ROOT / "pipeline").iterdir() if not path.name.startswith("__")}
    anybody = {"errors", "settings"}
    actual = {
        room: {name.split(".")[1] for path in modules(room) for name in imported(path) if name.startswith("pipeline.")}
        for room in rooms
    }
    assert set(documented) == rooms
    for room in rooms - {"cli"}:
        assert documented[room] == actual[room] - anybody - {room}, room


def loaded(code: str, *names: str, **env: str) -> set[str]:
    """Return those of ``names`` that a fresh interpreter has loaded after ``code``."""
    code = f"import sys\n{code}\nprint(*({names!r} & sys.modules.keys()))".replace(f"{names!r}", repr(set(names)))
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PG", "SINK"))}
    done = subprocess.run([sys.executable, "-c", code], env=clean | env, cwd=ROOT, capture_output=True, check=True)
    return set(done.stdout.decode().split())


def test_command_starts_without_the_imports_of_its_commands() -> None:
    heavy = {"boto3", "botocore", "psycopg", "sqlalchemy", "duckdb", "elftools", "psutil", "devstack.stack"}
    code = "from pipeline.cli import main; sys.argv[1:] = ['--help']\ntry: main()\nexcept SystemExit: print()"
    assert loaded("import pipeline.cli", "typer", *heavy) == {"typer"}
    assert not heavy & loaded(code, *heavy)


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_the_summary_of_a_command_is_that_of_its_docstring(name: Any) -> None:
    first, _, _ = load(name).help.partition("\n\n")
    assert " ".join(first.split()) == commands.COMMANDS[name].summary


def test_in_lambda_the_store_is_loaded_while_the_function_starts() -> None:
    env = {"SINK": "postgres", "DATABASE_URL": "postgresql://nowhere.invalid/x", "EVENT_SOURCES": "x"}
    assert loaded("import pipeline.functions.sync", "psycopg", **env, AWS_LAMBDA_FUNCTION_NAME="sync") == {"psycopg"}
