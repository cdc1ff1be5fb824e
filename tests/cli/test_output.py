"""Output is data: nothing that Auth0's users, AWS, Postgres or Terraform say controls a terminal, in any command."""

import ast
import csv
import io
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from botocore import exceptions
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from devstack import StackError, demo, stack
from pipeline import doctor, foreign, invocation, packaging
from pipeline.archive.athena import QueryFailed
from pipeline.archive.findings import Finding as Found
from pipeline.archive.findings import message
from pipeline.archive.questions import load
from pipeline.cli import commands
from pipeline.cli.terminal import Terminal, cell, in_markup
from pipeline.deploy import DeployError
from pipeline.deploy.deployment import Deployment
from pipeline.doctor import Finding
from pipeline.errors import BadSettings, CommandError
from pipeline.query import Result
from pipeline.terraform import TerraformError
from tests.cli.foreign_world import FOREIGN, ForeignAws, ForeignTerraform, controls, foreign_aws, run
from tests.deploy.support import tiny
from tests.deploy.test_environment import DATABASE, OUTPUTS
from tests.manifest.bucket import KEY_ARN
from tests.refresh.management_api import CLIENT_ID, CLIENT_SECRET, DOMAIN, Answer, ManagementApi
from tests.refresh.streams_api import stream

few = settings(
    max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate)
)
some = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "ATHENA_DATABASE": "d",
    "ATHENA_WORKGROUP": "w",
    "USERS_TABLE": "t",
    "CLUSTER_ARN": "arn:c",
    "QUERY_SECRET_ARN": "arn:s",
    "PGDATABASE": "d",
}
DEPLOYMENT = ("--deployment", "prod")
BUCKET = ("--bucket", "b", "--prefix", "logs/")
REPLAY = ("replay", "--since", "2026-01-15T09", "--until", "2026-01-15T09", *DEPLOYMENT, *BUCKET)
FORMS: dict[str, tuple[tuple[str, ...], ...]] = {
    "": ((),),
    "json": ((), ("--json",)),
    "csv": ((), ("--json",), ("--csv",)),
}

ANSWERS: dict[str, tuple[tuple[str, ...], str]] = {
    "ask": (("ask", "SELECT 1"), "csv"),
    "sql": (("sql", "SELECT 1"), "csv"),
    "user": (("user", "auth0|1"), "json"),
    "failed": (("failed", "postgres", "--users", *DEPLOYMENT), "csv"),
    "failed --put-back": (("failed", "postgres", "--put-back", *DEPLOYMENT), "json"),
    "pseudonym": (("pseudonym", "auth0|1", *DEPLOYMENT), ""),
    "verify": (("verify", "--error-prefix", "errors/", "--key", KEY_ARN, *BUCKET), "json"),
    "replay": (REPLAY, "json"),
    "backfill": (("backfill", "--resume", "x", "--no-wait", *DEPLOYMENT, "--bucket", "b"), "json"),
    "rearchive": (("rearchive", *DEPLOYMENT, *BUCKET), "json"),
    "restore": (("restore", "dynamodb", "--dry-run", *DEPLOYMENT), "json"),
    "reconcile": (("reconcile", "--yes", "--users", *DEPLOYMENT), "json"),
    "reconcile --fix": (("reconcile", "--yes", "--users", "--fix", "--allow-data-loss", *DEPLOYMENT), "json"),
    "logs": (("logs", *DEPLOYMENT), ""),
    "erase": (
        (
            "erase",
            "auth0|1234",
            "--error-prefix",
            "errors/",
            "--workgroup",
            "w",
            "--database",
            "d",
            *DEPLOYMENT,
            *BUCKET,
        ),
        "json",
    ),
}
"""Commands that print AWS's answers, and their forms."""
OF_TERRAFORM: dict[str, tuple[tuple[str, ...], str]] = {
    "plan": (("plan", "--env", "prod"), "json"),
    "deploy": (("deploy", "--env", "prod", "--yes", "--allow-data-loss"), ""),
    "migrate": (("migrate", "--env", "prod"), ""),
    "smoke": (("smoke", "--env", "prod"), "json"),
    "outputs": (("outputs", "--env", "prod"), ""),
    "destroy": (("destroy", "--env", "prod", "--yes"), ""),
    "env": (("env", "--env", "prod"), "json"),
    "roles": (("roles", "--env", "prod"), ""),
}
"""Commands that print text of Terraform or of the deployment's functions."""
OF_AUTH0: dict[str, tuple[tuple[str, ...], str]] = {
    "init": (("init", "--env", "prod", "--seconds", "0", "--keep-credentials"), ""),
    "streams": (("streams", "--env", "prod"), "json"),
    "streams --create": (("streams", "--env", "prod", "--create"), "json"),
    "streams --start": (("streams", "--env", "prod", "--start"), ""),
    "streams --redeliver": (("streams", "--env", "prod", "--redeliver"), "json"),
    "catch-up": (("catch-up", "--since", "2h", "--quiet", "1", *DEPLOYMENT), "json"),
    "credentials": (("credentials", "--env", "prod"), ""),
    "tfvars": (("tfvars", "--env", "prod"), ""),
    "backfill --dry-run": (("backfill", "--dry-run", "--rate", "1000", *DEPLOYMENT, "--bucket", "b"), "json"),
    "backfill --connection": (("backfill", "--connection", "c", *DEPLOYMENT, "--bucket", "b"), "json"),
}
"""Commands that print text of Auth0's Management API."""
TESTED_ALONE = {"demo", "up", "status", "events", "package"}
"""Commands with a test of their own below."""
WITHOUT_FOREIGN_TEXT = {
    "cost": "prints its own numbers",
    "down": "prints its own steps",
}


def test_every_command_is_here() -> None:
    """A new command needs an entry in a table above, or a test of its own."""
    here = {
        name.partition(" ")[0] for name in (*ANSWERS, *OF_TERRAFORM, *OF_AUTH0, *TESTED_ALONE, *WITHOUT_FOREIGN_TEXT)
    }
    assert here == {*commands.COMMANDS}


def test_only_the_terminal_prints() -> None:
    """The commands print through `pipeline.cli.terminal` alone, which escapes."""
    root = Path(commands.__file__).parents[2]
    printers = {"echo", "secho", "prompt", "print", "Console", "escape", "write", "out"}
    allowed = {"console.print", "errors.print", "to.print", "to.file.write", "self._console.print", "echo"}
    found = []
    for path in sorted([*(root / "pipeline" / "cli").glob("*.py"), *(root / "devstack" / "cli").glob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and path.name != "terminal.py":
                called = ast.unparse(node.func)
                if called.rpartition(".")[2] in printers and called not in allowed:
                    found.append(f"{path.name}: {called}")
    assert found == []


def test_no_command_names_a_file_after_foreign_text() -> None:
    """Packages and deployments write files named by the repository, and `catch-up` its place, named by the caller."""
    root = Path(commands.__file__).parents[1]
    writers = {"write_text", "write_bytes", "mkdir", "rename", "touch"}
    rooms = ("cli", "archive", "auth0", "backfill", "delivery", "doctor", "erasure", "reconcile", "stores")
    for path in sorted(path for room in rooms for path in (root / room).rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        for call in calls:
            name = ast.unparse(call.func).rpartition(".")[2]
            reads = name == "open" and all(_is_reading(given) for given in (*call.args, *call.keywords))
            assert reads or name not in {"open", *writers}, f"{path}:{call.lineno}"


def _is_reading(argument: ast.AST) -> bool:
    """Return whether an argument of a call of `open` is the path, or a mode of reading."""
    value = argument.value if isinstance(argument, ast.keyword) else argument
    return not isinstance(value, ast.Constant) or value.value in ("r", "rb", "rt")


# Renderers


@given(FOREIGN)
@some
def test_text_is_harmless_and_json_keeps_the_value(text: str) -> None:
    for shown in (foreign.plain(text), foreign.text(text), foreign.text({text: [text]}), cell(text).plain):
        assert controls(shown, "") == []
        shown.encode()
    for value in (text, {text: [text]}):
        document = foreign.as_json(value)
        assert controls(document) == []
        assert _units(json.loads(document)) == _units(value)


@given(FOREIGN)
@some
def test_terminal_escapes_all_output(text: str) -> None:
    """Even a command that forgets to escape sends no control code."""
    screen = Terminal(file=io.StringIO(), width=80, force_terminal=True, color_system=None, emoji=False)
    screen.print(text, markup=False)
    screen.print(in_markup(text))
    screen.print(cell(text), highlight=False, soft_wrap=True)
    screen.rule(in_markup(text))
    file = screen.file
    assert isinstance(file, io.StringIO)
    assert controls(file.getvalue()) == []
    file.getvalue().encode()


@given(FOREIGN)
@some
def test_markup_is_shown_as_it_is(text: str) -> None:
    screen = Terminal(file=io.StringIO(), width=4000, color_system=None, emoji=False)
    screen.print(f"[red]x[/] {in_markup(text)} end", highlight=False, soft_wrap=True)
    file = screen.file
    assert isinstance(file, io.StringIO)
    assert foreign.plain(text).rstrip("\\") in file.getvalue()


@given(FOREIGN)
@some
def test_csv_is_harmless_and_keeps_the_values(text: str) -> None:
    row = (text, {text: text}, -1, -1.5, None, True, [text])
    [read] = csv.reader(io.StringIO(foreign.csv_line(row), newline=""), strict=True)
    assert controls("".join(read), "") == []
    assert read[2:6] == ["-1", "-1.5", "", "true"]
    for written, value in zip(read, row, strict=True):
        if isinstance(value, (str, dict, list)):
            shown = foreign.plain(value) if isinstance(value, str) else foreign.text(value)
            assert written in (shown, f"'{shown}")
            begins = written.lstrip(' "\u200c\u200d\xa0\u3000')
            assert not begins.startswith(tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20"))


@given(FOREIGN)
@some
def test_mail_of_the_watch_is_harmless(text: str) -> None:
    question = load("mfa_weakened")
    said = message(question, [Found("k", {"log_id": text, text: text})], "further")
    assert controls(said) == []
    said.encode()
    lines = said.split("\n")
    assert sum(line.startswith("log_id: ") for line in lines) == 1
    assert lines.count("To look further:") == 1


# Commands


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ForeignAws]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "DATABASE_URL", "PGHOST", "AUTO_APPROVE", "SOURCE_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("pipeline.cli.reconcile.TIMEOUT", 0)
    with foreign_aws(monkeypatch) as world:
        yield world


@pytest.fixture
def terraform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ForeignTerraform:
    root = tiny(tmp_path)
    find = Deployment.find.__func__  # type: ignore[attr-defined]  # a class method has one
    monkeypatch.setattr(Deployment, "find", classmethod(lambda cls, name, **options: find(cls, name, root, **options)))
    return ForeignTerraform(root, monkeypatch)


def forms(commands: dict[str, tuple[tuple[str, ...], str]]) -> list[Any]:
    return [
        pytest.param((*arguments, *form), live, id=" ".join((name, *form, "on a terminal" if live else "in a pipe")))
        for name, (arguments, has) in commands.items()
        for form in FORMS[has]
        for live in (False, True)
    ]


@pytest.mark.parametrize(("arguments", "live"), forms(ANSWERS))
@given(text=FOREIGN)
@few
def test_answers_of_aws_are_harmless(aws: ForeignAws, arguments: tuple[str, ...], live: bool, text: str) -> None:
    aws.text, aws.rearchiving = text, arguments[0] == "rearchive"
    printed = run(*arguments, on_terminal=live)
    assert "Traceback" not in printed.err
    printed.require_harmless(live=live, csv="--csv" in arguments)
    if "--json" in arguments:
        json.loads(printed.out)
    if "--csv" in arguments:
        list(csv.reader(io.StringIO(printed.out, newline=""), strict=True))


ERRORS = [
    lambda text, name: exceptions.ClientError({"Error": {"Code": text, "Message": text}}, name),
    lambda text, name: exceptions.ClientError({"Error": {"Code": "AccessDenied", "Message": text}}, name),
    lambda text, name: exceptions.ClientError(
        {"Error": {"Code": "BadRequestException", "Message": f'ERROR: invalid input "{text}"; SQLState: 22P02'}}, name
    ),
    lambda text, _: exceptions.EndpointConnectionError(endpoint_url=text),
    lambda text, _: QueryFailed(text),
    lambda text, _: psycopg.errors.InvalidTextRepresentation(text),
    lambda text, _: psycopg.OperationalError(text),
    lambda text, _: BadSettings(text),
    lambda text, _: CommandError(text),
    lambda text, _: TerraformError(text),
    lambda text, _: RuntimeError(text),
]
"""Errors of AWS, Athena, DynamoDB, the Data API, Postgres, Terraform; the last is a bug, which keeps its traceback."""


@pytest.mark.parametrize("name", ANSWERS)
@given(text=FOREIGN, error=st.sampled_from(ERRORS))
@settings(few, max_examples=8)
def test_error_texts_are_harmless(aws: ForeignAws, name: str, error: Any, text: str) -> None:
    aws.text, aws.error = text, error
    printed = run(*ANSWERS[name][0])
    assert printed.code == 1
    printed.require_harmless(live=False)


@pytest.mark.parametrize(("arguments", "live"), forms(OF_TERRAFORM))
@given(text=FOREIGN, fails=st.sampled_from(["", "init", "plan", "apply"]))
@few
def test_messages_of_terraform_are_harmless(
    aws: ForeignAws,
    terraform: ForeignTerraform,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    live: bool,
    fails: str,
    text: str,
) -> None:
    found = [Finding(text, "bad", text, text), Finding("x", "ok", text)]
    monkeypatch.setattr(doctor, "run", lambda *_: found)
    monkeypatch.setattr(invocation, "idle", lambda *_: [text])
    for marker in tmp_path.glob(".deploy/prod/.terraform/initialised"):
        marker.unlink()
    aws.text = text
    texts = {"users_table": text, "schema_revision": text, "dashboard_name": text, "alarm_topic_arn": text}
    outputs = OUTPUTS | DATABASE | texts | {"function_names": {"migrate": "m", "roles": "r"}}
    path = text.replace("\0", "")  # no path has one
    values = {"package_dir": path, "region": "eu-central-1", "create_buses": False, "lambda_architecture": "arm64"}
    values |= {
        "maximum_concurrency": 5,
        "refresh": None,
        "backfill": None,
        "source_region": None,
        "name": "n",
        "environment": "prod",
    }
    terraform.says(text, outputs, values, fails)
    printed = run(*arguments, on_terminal=live)
    assert "Traceback" not in printed.err
    printed.require_harmless(live=live)
    if "--json" in arguments and printed.code == 0:
        json.loads(printed.out)


@pytest.fixture
def auth0(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ManagementApi]:
    root = tiny(tmp_path)
    monkeypatch.setattr(Deployment, "named", classmethod(lambda cls, name: cls(name, root)))
    api = ManagementApi()
    api.scopes |= {"read:anything", "update:event_deliveries"}
    api.events.heartbeat, api.events.most = 0.4, 100
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    variables = {"AUTH0_DOMAIN": DOMAIN, "AUTH0_CLIENT_ID": CLIENT_ID, "AUTH0_CLIENT_SECRET": CLIENT_SECRET}
    for name, value in (variables | {"AUTH0_BASE_URL": api.url}).items():
        monkeypatch.setenv(name, value)
    yield api
    api.close()


@pytest.mark.parametrize(("arguments", "live"), forms(OF_AUTH0))
@given(text=FOREIGN, says=st.sampled_from(["streams", "another account", "a refusal", "no token", "no room"]))
@settings(few, max_examples=8)
def test_answers_of_auth0_are_harmless(
    aws: ForeignAws, auth0: ManagementApi, arguments: tuple[str, ...], live: bool, says: str, text: str
) -> None:
    aws.text = text
    auth0.events.events = [{"id": text, "type": "user.updated", "time": text, "data": {"object": {"user_id": text}}}]
    auth0.events.raw = {0: json.dumps({"event": {"type": text, "time": text}})}
    place = (text, text) if says == "another account" else ("123456789012", "eu-central-1")
    fields: dict[str, Any] = {"status": text, "pii_config": {"log_fields": [text]}}
    name = "auth0-sync-prod" if says != "streams" else text
    auth0.streams.log[:] = [stream("log", name, *place, **fields)]
    auth0.streams.event[:] = [stream("event", name, *place, text, status=text, subscriptions=[{"event_type": text}])]
    auth0.streams.most = dict.fromkeys(("log", "event"), 0 if says == "no room" else 9)
    auth0.jobs.connections = {"con_0000000000000001": text}
    identities = [{"provider": "auth0", "user_id": "1", "connection": text}]
    profile = {"user_id": "auth0|1", "updated_at": "2026-01-14T09:00:00.000Z", "identities": identities, text: 1}
    auth0.users = {"auth0|1": json.dumps(profile).encode()}
    refusal = Answer(403, json.dumps({"message": text, "errorCode": text, "error": text}).encode())
    auth0.next_answers.clear()
    auth0.next_answers.extend([refusal] * (says == "a refusal"))
    auth0.next_tokens.clear()
    auth0.next_tokens.extend([refusal] * (says == "no token"))
    printed = run(*arguments, on_terminal=live)
    assert "Traceback" not in printed.err
    printed.require_harmless(live=live)
    if "--json" in arguments and printed.code == 0:
        json.loads(printed.out)


@given(text=FOREIGN)
@few
def test_a_shell_reads_the_variables_as_they_are(
    aws: ForeignAws, terraform: ForeignTerraform, tmp_path: Path, text: str
) -> None:
    text = text.encode(errors="ignore").decode().replace("\0", "")
    terraform.says("x", OUTPUTS | {"users_table": text}, {})
    printed = run("env", "--env", "prod")
    assert printed.code == 0, printed.err
    shell = f'{printed.out}\nprintf %s "$USERS_TABLE"'
    assert subprocess.run(["bash", "-c", shell], capture_output=True, check=True).stdout == text.encode()


@given(text=FOREIGN)
@few
def test_question_appears_before_the_answer_is_read(aws: ForeignAws, terraform: ForeignTerraform, text: str) -> None:
    values = {"package_dir": "p", "region": "eu-central-1", "create_buses": False, "lambda_architecture": "arm64"}
    values |= {
        "maximum_concurrency": 5,
        "refresh": None,
        "backfill": None,
        "source_region": None,
        "name": "n",
        "environment": "prod",
    }
    terraform.says(text, OUTPUTS, values)
    printed = run("deploy", "--env", "prod", on_terminal=True, answer=f"{text}\n")
    assert printed.code == 1
    printed.require_harmless(live=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("{}",), ("ask", "{}"), ("ask", "--{}"), ("ask", "failed_logins", "{}"), ("ask", "failed_logins", "since={}"),
        ("ask", "--timeout", "{}"), ("sql", "{}"), ("user", "{}"), ("user", "{}@x"), ("failed", "{}"),
        ("logs", "{}", "--deployment", "{}"), ("plan", "--env", "{}"), ("package", "--architecture", "{}"),
        ("replay", "--since", "{}", *DEPLOYMENT, *BUCKET), ("events", "{}"), ("down", "{}"),
        ("init", "--env", "{}"), ("init", "--env", "x", "--region", "{}"), ("streams", "--env", "x", "--account", "{}"),
        ("catch-up", "--since", "{}", *DEPLOYMENT), ("catch-up", "--since", "2h", "--deployment", "{}"),
        ("streams", "--env", "x", "--redeliver", "--since", "{}"),
        ("tfvars", "--env", "x", "--environment", "{}"), ("credentials", "--env", "x", "--domain", "{}"),
    ],
)  # fmt: skip
@given(text=FOREIGN)
@few
def test_arguments_are_harmless(aws: ForeignAws, arguments: tuple[str, ...], text: str) -> None:
    """An operator pastes an id or a name that a user chose."""
    aws.text = "x"
    run(*(one.replace("{}", text) for one in arguments)).require_harmless(live=False)


@given(text=FOREIGN)
@few
def test_demo_is_harmless(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    body = json.dumps({"detail": {"data": {"log_id": text, "type": text, "description": text}}})
    answer = dict.fromkeys(("date", "actor_name", "ip", "http_method", "description", "channel"), text)
    report = demo.Report(
        put=1,
        archived=1,
        counts={"postgres": Counter()},
        lags={"postgres": demo.Lag(1, 1)},
        bad_messages=[demo.BadMessage(text, text, body, text)],
        metadata=Result((text,), [(text,)]),
        user_id=text,
        item={"user_id": text, "user_metadata": {text: text}},
        answer=Result(tuple(answer), [tuple(answer.values())]),
        differences=[text],
    )
    expected = SimpleNamespace(counts=Counter({text: 1}), late=0, live={}, deleted={})
    monkeypatch.setattr(stack, "up", lambda *_: None)
    for name, value in {"put": SimpleNamespace(expected=expected, seed=1), "settle": None, "report": report}.items():
        monkeypatch.setattr(demo, name, lambda *_, value=value: value)
    for live in (False, True):
        printed = run("demo", on_terminal=live)
        assert printed.code == 3
        printed.require_harmless(live=live)
    monkeypatch.setattr(demo, "report", lambda _: demo_report_without_differences(report))
    run("demo").require_harmless(live=False)


def demo_report_without_differences(report: demo.Report) -> demo.Report:
    return demo.Report(**{**{name: getattr(report, name) for name in report.__dataclass_fields__}, "differences": []})


@given(text=FOREIGN)
@few
def test_errors_of_the_stack_are_harmless(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    def fails(*_: object, **__: object) -> None:
        raise StackError(text)

    monkeypatch.setattr(stack, "up", fails)
    monkeypatch.setattr(stack, "status", fails)
    for command in ("up", "status", "demo"):
        printed = run(command)
        assert printed.code == 1
        printed.require_harmless(live=False)
    monkeypatch.setattr(stack, "up", lambda _: SimpleNamespace(endpoint=text, database_url=text))
    run("up").require_harmless(live=False)


@given(text=FOREIGN)
@few
def test_events_are_harmless_and_keep_the_source(text: str) -> None:
    printed = run("events", "20", "--source", text)
    printed.require_harmless(live=False)
    assert _units(json.loads(printed.out.split("\n")[0])["source"]) == _units(text)


@given(text=FOREIGN)
@few
def test_package_is_harmless(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    def fails(*_: object) -> None:
        raise DeployError(text)

    monkeypatch.setattr(packaging, "build", fails)
    run("package").require_harmless(live=False)
    monkeypatch.setattr(packaging, "build", lambda *_: Path(text.replace("\0", "")))
    monkeypatch.setattr(packaging, "sizes", lambda _: (1, 1))
    monkeypatch.setattr(packaging, "digest", lambda _: text)
    for form in FORMS["json"]:
        run("package", *form).require_harmless(live=False)


def _units(value: Any) -> bytes:
    return json.dumps(value).encode()
