"""Commands that need no stack, as a script would call them."""

import json
import os
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from devstack import StackError
from pipeline.changes import Snapshot, Tombstone, read
from pipeline.cli import app, local, main
from pipeline.errors import BadSettings, BadTimestamp


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


@pytest.mark.parametrize("start", ["2026-03-01", "2026-03-01T00:00:00", "2026-03-01T00:00:00Z"])
def test_events_start_on_a_day_or_at_a_time_in_utc(start: str) -> None:
    first = json.loads(run("events", "20", "--start", start).splitlines()[0])
    assert first["time"].startswith("2026-03-01T00:00:0")


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert run("--version") == f"auth0-sync {project['version']}\n"


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("auth0-sync rearch", ["rearchive"]),
        ("auth0-sync failed --put", ["--put-back"]),
        ("auth0-sync failed post", ["postgres"]),
    ],
)
def test_the_shell_completes_commands_and_what_they_take(typed: str, completed: list[str]) -> None:
    request = {
        "_AUTH0_SYNC_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    result = CliRunner().invoke(app, prog_name="auth0-sync", env=request)
    assert result.stdout.split() == completed


@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        (["--help"], {"boto3", "botocore", "psycopg", "pipeline.data_api", "typer.rich_utils", "rich.markdown"}),
        (["ask", "--list"], {"boto3", "botocore", "psycopg"}),
        (["roles"], {"boto3", "botocore", "psycopg"}),
        (["sql", "DROP TABLE x"], {"boto3", "botocore", "psycopg"}),
        (["sql", "SELECT 1"], {"boto3"}),
        (["events", "20"], {"boto3", "botocore", "psycopg"}),
    ],
)
def test_a_command_loads_only_what_it_uses(arguments: list[str], unused: set[str]) -> None:
    code = f"""
import sys
from pipeline.cli import main
sys.argv = ["auth0-sync", *{arguments!r}]
try:
    main()
except SystemExit:
    pass
print(*({unused!r} & sys.modules.keys()), file=sys.stderr)
"""
    environment = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/d", "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == ""


@pytest.mark.parametrize("command", ["erase", "init", "user"])
def test_a_help_breaks_lines_only_where_they_are_full(command: str) -> None:
    lines = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"}).output.splitlines()
    described = [line.strip() for line in lines[3 : next(n for n, line in enumerate(lines) if "╭" in line)]]
    for line, following in pairwise(described):
        if line and following:
            assert len(f"{line} {following.split()[0]}") > 78


@pytest.mark.parametrize("command", ["reconcile", "restore"])
def test_a_help_offers_only_the_stores_where_the_refresh_is_no_choice(command: str) -> None:
    printed = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "120"}).output
    assert "<postgres|dynamodb>" in printed


def test_a_wrong_command_line_is_exit_code_2() -> None:
    assert CliRunner().invoke(app, ["events", "none"]).exit_code == 2
    assert CliRunner().invoke(app, ["ask", "who_knows"]).exit_code == 2


def test_an_error_of_the_local_stack_is_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def current() -> local.Running:
        raise StackError("it is not up [yet]")

    monkeypatch.delenv("DEPLOYMENT", raising=False)
    monkeypatch.setattr(local, "_used", [local.Local(current, dict)])
    monkeypatch.setattr(sys, "argv", ["auth0-sync", "logs"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: it is not up [yet]\n"


@pytest.mark.parametrize("command", ["env", "logs"])
def test_without_a_local_stack_a_deployment_must_be_named(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.delenv("DEPLOYMENT", raising=False)
    monkeypatch.setattr(local, "_used", [])
    assert isinstance(CliRunner().invoke(app, [command]).exception, BadSettings)
