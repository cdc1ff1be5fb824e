"""Commands that need no stack, as a script would call them."""

import json

from typer.testing import CliRunner

from pipeline.changes import Snapshot, Tombstone, read
from pipeline.cli import app
from pipeline.errors import BadTimestamp


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_events_are_repeatable_json_lines_that_the_sync_reads() -> None:
    printed = run("events", "200", "--users", "20", "--seed", "3", "--malformed", "2")
    assert printed == run("events", "200", "--users", "20", "--seed", "3", "--malformed", "2")
    lines = printed.splitlines()
    assert len(lines) == 200
    kinds, unreadable = set(), 0
    for line in lines:
        assert json.loads(line)["detail-type"] == "Auth0 log"
        try:
            kinds |= {type(meaning) for meaning in read(line)}
        except BadTimestamp:
            unreadable += 1
    assert {Snapshot, Tombstone} <= kinds
    assert unreadable == 2


def test_a_wrong_command_line_is_exit_code_2() -> None:
    assert CliRunner().invoke(app, ["events", "none"]).exit_code == 2
    assert CliRunner().invoke(app, ["ask", "who_knows"]).exit_code == 2
