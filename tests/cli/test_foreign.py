"""Foreign text reaches the terminal as text: no markup, no control characters."""

import csv
import io
import json
import unicodedata
from contextlib import nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from pipeline import foreign
from pipeline.cli import app, failures, main, rows
from pipeline.cli import archive as archive_commands
from pipeline.cli import failed as failed_commands
from pipeline.cli import users as users_commands
from pipeline.delivery.dead_letters import Waiting
from pipeline.delivery.failed import Failed, Report
from pipeline.query import Result
from tests.cli.test_ask import asked

__all__ = ["asked"]

MARKUP = "[red]a[/] [/] [link=https://evil.example]b[/link] \\[c] :smile:"
CONTROL = "\x1b[31m\x07\r\x7f\x9b2J\u202e\u2066\n"


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def controls(text: Any) -> Any:
    return [c for c in text if c != "\n" and (unicodedata.category(c) == "Cc" or c in "\u202e\u2066")]


INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
FOREIGN = st.text(
    st.one_of(
        st.characters(blacklist_categories=()), st.sampled_from("[]/\\:=+-@'\",;\t\r\n \x1b\x7f\x9b\u202e\u2066\ufeff")
    )
)
"""Any text, often with what is special to a terminal, to Rich, to CSV or to a spreadsheet."""


@given(FOREIGN)
def test_no_control_character_remains(text: Any) -> None:
    assert controls(foreign.plain(text)) == []
    assert "\n" not in foreign.plain(text)
    foreign.plain(text).encode()
    read = json.loads(foreign.as_json({"a": text}))
    assert read["a"].encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")


@given(st.lists(st.tuples(FOREIGN | st.none(), FOREIGN), max_size=3), FOREIGN, st.integers(1, 80))
def test_tables_show_foreign_text_on_one_line_and_as_it_is(answers: Any, name: Any, width: Any) -> None:
    result = Result((name, "b"), answers)
    screen = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, emoji=False)
    rows.print_table(result, screen)
    printed = written(screen).removesuffix("\n").split("\n")
    piped = list(rows.tab_lines(result))
    assert len(piped) == 1 + len(answers)
    for row in answers:
        for value in row:
            assert any(foreign.text(value).rstrip() in line for line in printed)
    for line in printed + piped:
        assert controls(line.replace("\t", "")) == []
        line.encode()
    assert [line.split("\t") for line in piped[1:]] == [[foreign.text(value) for value in row] for row in answers]


@given(st.lists(FOREIGN | st.none(), unique=True))
def test_no_two_values_look_alike_but_for_control_characters(values: Any) -> None:
    values = [value for value in values if value is None or value == foreign.plain(value)]
    assert len({foreign.text(value) for value in values}) == len(values)


@given(st.lists(st.tuples(FOREIGN | st.none(), FOREIGN), max_size=3), FOREIGN)
def test_csv_is_read_back_and_has_no_formula(answers: Any, name: Any) -> None:
    written = "".join(rows.csv_lines(Result((name, "b"), answers)))
    assert controls(written.replace("\r\n", "")) == []
    written.encode()
    read = list(csv.reader(io.StringIO(written, newline=""), strict=True))
    assert len(read) == 1 + len(answers)
    for row, given_row in zip(read, [(name, "b"), *answers], strict=True):
        for cell, value in zip(row, given_row, strict=True):
            seen = [character for character in cell if not character.isspace() and character not in INVISIBLE]
            assert seen[:1] not in (["="], ["+"], ["-"], ["@"])
            assert cell.removeprefix("'") == ("" if value is None else foreign.plain(value))


def test_csv_by_rfc_4180() -> None:
    result = Result(
        ("a", 'b "c"'), [(None, ""), ("x,y", 'say "hi"'), (-1, "-1"), ("=1+1", "'=1"), (True, {"a": [None]})]
    )
    assert list(rows.csv_lines(result)) == [
        'a,"b ""c"""\r\n',
        ',""\r\n',
        '"x,y","say ""hi"""\r\n',
        "-1,'-1\r\n",
        "'=1+1,''=1\r\n",
        'true,"{""a"": [null]}"\r\n',
    ]


def test_numbers_that_json_does_not_have_are_text() -> None:
    value = {"a": float("nan"), "b": [float("inf"), 1.5]}
    assert json.loads(foreign.as_json(value), parse_constant=pytest.fail) == {"a": "nan", "b": ["inf", 1.5]}


def printed_on(width: Any, result: Any) -> Any:
    screen = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, emoji=False)
    rows.print_table(result, screen)
    return written(screen).splitlines()


WIDE = Result(("user_id", "profile"), [("auth0|1", {"name": "Ada"}), ("auth0|2", None)])


def test_a_table_that_fits_is_one() -> None:
    assert printed_on(80, WIDE) == ["user_id  profile", 'auth0|1  {"name": "Ada"}', "auth0|2  NULL"]
    assert printed_on(24, WIDE) == printed_on(80, WIDE)
    assert printed_on(1, Result(("user_id", "profile"), [])) == ["user_id  profile"]


def test_a_table_that_does_not_fit_becomes_records() -> None:
    assert printed_on(23, WIDE) == [
        "user_id  auth0|1",
        'profile  {"name": "Ada"}',
        "",
        "user_id  auth0|2",
        "profile  NULL",
    ]
    wide = Result(("日本",), [("漢" * 10,)])
    assert printed_on(19, wide) == ["日本  " + "漢" * 10]
    assert printed_on(20, wide) == ["日本", "漢" * 10]


def test_a_question_spares_a_terminal_columns_without_a_value() -> None:
    result = Result(("a", "b", "c"), [(1, None, ""), (None, None, "x")])
    for terminal, lines in (
        (True, ["a     c", "1     ''", "NULL  x"]),
        (False, ["a\tb\tc", "1\tNULL\t''", "NULL\tNULL\tx"]),
    ):
        out = Console(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None, emoji=False)
        rows.print_table(result, out, whole=False)
        assert written(out).splitlines() == lines
    assert printed_on(80, result)[0] == "a     b     c"


def test_pipe_gets_whole_values() -> None:
    long = Result(("a", "b"), [("x" * 5000, "y" * 5000)])
    pipe = Console(file=io.StringIO(), width=20)
    rows.print_table(long, pipe)
    assert written(pipe) == f"a\tb\n{'x' * 5000}\t{'y' * 5000}\n"


def test_columns_of_one_name_are_all_in_json() -> None:
    assert Result(("a", "a", "a_2"), [(1, 2, 3)]).dicts() == [{"a": 1, "a_2": 2, "a_2_2": 3}]


def test_the_answer_to_a_question(asked: Any) -> None:
    asked.columns, asked.rows = [f"x{CONTROL}"], [[MARKUP + CONTROL]]
    for form in ((), ("--csv",)):
        printed = CliRunner().invoke(app, ["ask", "SELECT 1", *form]).stdout
        assert MARKUP in printed
        assert controls(printed.replace("\r\n", "\n")) == []
    printed = CliRunner().invoke(app, ["ask", "SELECT 1", "--json"]).stdout
    assert controls(printed) == []
    assert list(json.loads(printed)[0].values()) == [MARKUP + CONTROL]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the output on a wide terminal."""
    out = Console(file=io.StringIO(), width=400, emoji=False)
    monkeypatch.setattr(users_commands, "console", out)
    return lambda: written(out)


def test_a_user(monkeypatch: pytest.MonkeyPatch, shown: Any) -> None:
    store = SimpleNamespace(read=lambda _: {"version": "v", "user_metadata": {MARKUP: CONTROL}})
    monkeypatch.setattr("pipeline.stores.postgres.from_env", lambda: nullcontext(store))
    monkeypatch.setattr(users_commands, "DynamoDBStore", lambda *_: store)
    monkeypatch.setenv("USERS_TABLE", "t")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert CliRunner().invoke(app, ["user", "a|1"]).exit_code == 0
    assert json.dumps(MARKUP) in shown()
    assert controls(shown()) == []


def test_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["auth0-sync", "ask", "--list"])
    monkeypatch.setattr(failures, "message", lambda _: f"{MARKUP}\n{CONTROL}")
    monkeypatch.setattr(archive_commands, "_list", lambda **_: 1 / 0)
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert MARKUP in said
    assert controls(said) == []


def test_failed_messages(capsys: pytest.CaptureFixture[str]) -> None:
    one = Failed("1", MARKUP, CONTROL, 1, datetime.now(UTC), 1, MARKUP, [MARKUP])
    found = failed_commands._Found("q", Waiting(1, 0, datetime.now(UTC)), Report([one]))
    failed_commands._print([found], None, users=True, as_csv=False)
    printed = capsys.readouterr().out
    assert printed.count(MARKUP) == 4
    assert controls(printed.replace("\t", "")) == []
