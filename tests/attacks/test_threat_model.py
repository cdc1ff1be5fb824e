"""docs/threat-model.md names tests that exist, and every test of an actor is in it."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs/threat-model.md").read_text("utf-8")
COUNTERPARTS = {"test_developer.py::test_reading_logins_read"}
"""Tests of what an actor may do, without which a refusal would prove nothing."""


def written() -> set[str]:
    return {
        f"{file.name}::{node.name}"
        for file in HERE.glob("test_*.py")
        if file != Path(__file__)
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def cells() -> list[list[str]]:
    """Return the rows of the matrix, without its head."""
    _, _, table = PAGE.partition("## Actors by assets")
    rows = [line.strip("| ").split(" | ") for line in table.partition("## ")[0].splitlines() if line.startswith("|")]
    return rows[2:]


def test_matrix_names_every_test_and_no_other() -> None:
    assert set(re.findall(r"`(test_\w+\.py::test_\w+)`", PAGE)) | COUNTERPARTS == written()


def test_matrix_has_a_cell_for_each_actor_and_asset() -> None:
    actors = re.findall(r"^\| \*\*(.+?)\*\* \| (?!Postgres|S3|Auth0's|queues|profiles)", PAGE, flags=re.M)
    assert [row[0] for row in cells()] == actors
    assert all(len(row) == 6 and all(row) for row in cells())
