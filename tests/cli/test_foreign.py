"""What users wrote reaches the terminal as text: no markup, no control characters."""

import io
import json
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from pipeline.archive import athena
from pipeline.archive.athena import Result
from pipeline.cli import app, failures, foreign, main
from pipeline.cli import archive as archive_commands
from pipeline.cli import failed as failed_commands
from pipeline.cli import users as users_commands
from pipeline.delivery.failed import Failed
from tests.cli.test_ask import asked

__all__ = ["asked"]

MARKUP = "[red]a[/] [/] [link=https://evil.example]b[/link] \\[c] :smile:"
CONTROL = "\x1b[31m\x07\r\x7f\x9b2J\u202e\u2066\n"


def controls(text):
    return [c for c in text if c != "\n" and (unicodedata.category(c) == "Cc" or c in "\u202e\u2066")]


@pytest.fixture
def shown(monkeypatch):
    """What is printed on a wide terminal."""
    out = Console(file=io.StringIO(), width=400, emoji=False)
    for module in (archive_commands, users_commands, failed_commands):
        monkeypatch.setattr(module, "console", out)
    return out.file.getvalue


@given(st.text(st.characters(blacklist_categories=())))
def test_nothing_that_controls_is_left(text):
    assert controls(foreign.plain(text)) == []
    assert "\n" not in foreign.plain(text)
    foreign.plain(text).encode()
    read = json.loads(foreign.as_json({"a": text}))
    assert read["a"].encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")


def test_the_answer_to_a_question(monkeypatch, asked, shown):
    answer = Result((f"x{CONTROL}",), [(MARKUP + CONTROL,), ({"a": [MARKUP]},)], 0, "q")
    monkeypatch.setattr(athena, "query", lambda *_, **__: answer)
    assert CliRunner().invoke(app, ["ask", "SELECT 1"]).exit_code == 0
    assert MARKUP in shown()
    assert controls(shown()) == []
    printed = CliRunner().invoke(app, ["ask", "SELECT 1", "--json"]).stdout
    assert controls(printed) == []
    assert list(json.loads(printed)[0].values()) == [MARKUP + CONTROL]


def test_a_user(monkeypatch, shown):
    row = {"version": "v", "user_metadata": {MARKUP: CONTROL}}
    monkeypatch.setattr(users_commands, "_from_postgres", lambda _: row)
    monkeypatch.setattr(users_commands, "_from_dynamodb", lambda _: row)
    assert CliRunner().invoke(app, ["user", "a|1"]).exit_code == 0
    assert json.dumps(MARKUP) in shown()
    assert controls(shown()) == []


def test_an_error(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["auth0-sync", "ask", "--list"])
    monkeypatch.setattr(failures, "message", lambda _: f"{MARKUP}\n{CONTROL}")
    monkeypatch.setattr(archive_commands, "_list", lambda _: 1 / 0)
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert MARKUP in said
    assert controls(said) == []


def test_failed_messages(monkeypatch, shown):
    one = Failed("1", MARKUP, CONTROL, 1, datetime.now(UTC), 1, [MARKUP])
    failed_commands._print("q", [one], users=True)
    assert shown().count(MARKUP) == 3
    assert controls(shown()) == []
