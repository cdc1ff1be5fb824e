"""What the docs tell people to type exists, and what exists is in the docs."""

import re
import subprocess
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipeline.changes import NAMELESS, SIGNALS
from pipeline.cli import app

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_docs_name_what_exists(path: Path) -> None:
    text = path.read_text()
    assert set(re.findall(r"`?\bmake ([a-z]+)`", text)) <= targets()
    assert set(re.findall(r"auth0-sync ([a-z]+)\b", text)) <= COMMANDS.keys()
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (path.parent / link).exists(), link


def test_every_target_is_explained() -> None:
    printed = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    missing = {target for target in targets() if not re.search(rf"make {target} +\w", printed)}
    assert missing == set()
    assert {"help", "setup", "demo", "up", "down", "test", "check", "bench", "package"} <= targets()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert len(COMMANDS[name].help.split()) > 4


def test_every_signal_is_in_the_table_of_events() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \| .*\|$", (ROOT / "docs" / "events.md").read_text(), flags=re.M))
    assert rows.items() >= (SIGNALS | NAMELESS).items()
