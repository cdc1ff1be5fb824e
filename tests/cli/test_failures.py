"""Errors of AWS and Postgres in commands: one line, and no traceback."""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from botocore import exceptions
from botocore.session import Session
from typer.testing import CliRunner

from pipeline.cli import app, aws, commands, failures, main
from pipeline.cli.app import how_to_select
from pipeline.data_api import DataApiError, NotAllowed, Unreachable
from pipeline.errors import StoreDown

NOBODY = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove credentials, region, the files of the AWS CLI, and the instance's metadata."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "DATABASE_URL", "PGHOST", "CLUSTER_ARN", "DEPLOYMENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command as it is typed; return the line that it ends with."""

    def run(*arguments: Any, **variables: Any) -> Any:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["auth0-sync", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        return line

    return run


CREDENTIALS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
REGION = {"AWS_DEFAULT_REGION": "eu-central-1"}
ATHENA = {"ATHENA_DATABASE": "d", "ATHENA_WORKGROUP": "w"}
CLUSTER = {"CLUSTER_ARN": "arn:aws:rds:eu:1:c", "QUERY_SECRET_ARN": "arn:aws:secret:s", "PGDATABASE": "d"}
ASK = ["ask", "SELECT 1"]


@pytest.mark.parametrize(
    ("arguments", "variables", "names"),
    [
        (ASK, ATHENA, ["AWS_DEFAULT_REGION"]),
        (ASK, ATHENA | {"AWS_DEFAULT_REGION": "eu-central-1"}, ["credentials", "AWS_PROFILE"]),
        (ASK, ATHENA | CREDENTIALS | {"AWS_DEFAULT_REGION": "not a region"}, ["AWS_DEFAULT_REGION", "not a region"]),
        (ASK, ATHENA | {"AWS_PROFILE": "acme"}, ["AWS_PROFILE", "acme"]),
        (["sql", "SELECT 1"], CLUSTER | {"AWS_DEFAULT_REGION": "eu-central-1"}, ["credentials", "AWS_PROFILE"]),
        (["sql", "SELECT 1"], {"DATABASE_URL": "postgresql://u:s3cret@127.0.0.1:1/d"}, ["DATABASE_URL", "refused"]),
        (["user", "a|1"], {"DATABASE_URL": "postgresql://u:s3cret@127.0.0.1:1/d"}, ["DATABASE_URL", "refused"]),
        (["sql", "SELECT 1"], {"DATABASE_URL": "s3cret"}, ["DATABASE_URL"]),
    ],
)
def test_error_names_the_setting_and_the_fault(typed: Any, arguments: Any, variables: Any, names: Any) -> None:
    said = typed(*arguments, **variables)
    assert [name for name in names if name not in said] == []
    assert "batch" not in said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (ASK, ATHENA),
        (["sql", "SELECT 1"], CLUSTER),
        (["failed", "postgres", "--deployment", "auth0-sync-prod"], {}),
        (["failed", "archive", "--deployment", "auth0-sync-prod"], {}),
        (["logs", "--deployment", "auth0-sync-prod"], {}),
    ],
)
def test_aws_out_of_reach_takes_seconds(typed: Any, arguments: Any, variables: Any) -> None:
    began = time.monotonic()
    said = typed(*arguments, **variables, **CREDENTIALS, AWS_DEFAULT_REGION="eu-central-1", AWS_ENDPOINT_URL=NOBODY)
    assert NOBODY in said
    assert "AWS_ENDPOINT_URL" in said
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (ASK, {}),
        (ASK, ATHENA),
        (["sql", "SELECT 1"], {}),
        (["user", "auth0|1"], {}),
        (["user", "auth0|1"], {"CLUSTER_ARN": "arn:aws:rds:eu:1:c"}),
    ],
)
def test_a_shell_that_selects_nothing_gets_the_line_to_type(typed: Any, arguments: Any, variables: Any) -> None:
    said = typed(*arguments, **variables)
    assert 'at a deployment: eval "$(auth0-sync env --env NAME)"' in said
    assert 'at the local stack: eval "$(auth0-sync env)"' in said


@pytest.mark.parametrize("arguments", [["failed", "postgres"], ["reconcile"], ["verify"]])
def test_a_missing_option_that_env_sets_gets_the_line_to_type(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["auth0-sync", *arguments])
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert 'at a deployment: eval "$(auth0-sync env --env NAME)"' in " ".join(result.output.split())


@pytest.mark.parametrize("called", ["{bin}/auth0-sync", ".venv/bin/auth0-sync", "/clone/.venv/bin/auth0-sync"])
def test_the_line_to_type_names_the_command_as_it_was_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, called: str
) -> None:
    (tmp_path / "auth0-sync").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [called.format(bin=tmp_path), "user", "auth0|1"])
    named = "auth0-sync" if called.startswith("{bin}") else called
    assert f'eval "$({named} env)"' in how_to_select()


PLACES = ("nobody listens", "nobody answers", "no such name", "another service")
DEPLOYMENT = ("--deployment", "auth0-sync-prod")
BUCKET = ("--bucket", "b", "--prefix", "logs/")
NETWORKED = {
    "ask": (ASK, ATHENA),
    "sql": (["sql", "SELECT 1"], CLUSTER),
    "user": (["user", "auth0|1"], CLUSTER),
    "failed": (["failed", "postgres", *DEPLOYMENT], {}),
    "pseudonym": (["pseudonym", "auth0|1", *DEPLOYMENT], {}),
    "replay": (["replay", "--since", "2026-01-15", *DEPLOYMENT, *BUCKET], {}),
    "backfill": (["backfill", "--resume", "x", *DEPLOYMENT, "--bucket", "b"], {}),
    "rearchive": (["rearchive", *DEPLOYMENT, *BUCKET], {}),
    "restore": (["restore", "dynamodb", *DEPLOYMENT], {}),
    "reconcile": (["reconcile", "--yes", *DEPLOYMENT], CLUSTER | {"USERS_TABLE": "t"}),
    "logs": (["logs", *DEPLOYMENT], {}),
    "erase": (["erase", "auth0|1", "--error-prefix", "errors/", *DEPLOYMENT, *BUCKET], ATHENA | CLUSTER),
    "verify": (["verify", "--error-prefix", "errors/", "--key", "arn:aws:kms:eu:1:key/k", *BUCKET], {}),
}
"""Commands that AWS answers."""
WITHOUT_NETWORK = {"cost", "package", "demo", "events", "up", "down", "status"}
BY_TERRAFORM = {"plan", "deploy", "migrate", "smoke", "outputs", "destroy", "env", "roles"}
"""Commands that begin with Terraform, whose state and account checks end them."""
AUTH0_FIRST = {"catch-up"}
"""Commands that ask Auth0 before AWS; tests/catchup/test_command.py has their errors."""
OF_AUTH0 = {"init", "streams", "credentials", "tfvars"}
"""Commands that first ask AWS who the caller is; tests/deploy/test_preflight.py has their other errors."""


def test_every_command_that_needs_aws_is_here() -> None:
    assert {*NETWORKED, *WITHOUT_NETWORK, *BY_TERRAFORM, *OF_AUTH0, *AUTH0_FIRST} == set(commands.COMMANDS)


@pytest.fixture
def endpoint() -> Iterator[Any]:
    """Yield a function that returns an address without AWS."""
    with contextlib.ExitStack() as opened:

        def of(place: str) -> str:
            if place == "nobody listens":
                return NOBODY
            if place == "no such name":
                return "http://aws.invalid:4566"
            listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            port = listener.getsockname()[1]
            if place == "nobody answers":  # the kernel drops what exceeds the backlog, as a firewall does
                for _ in range(4):
                    filler = opened.enter_context(socket.socket())
                    filler.setblocking(False)
                    filler.connect_ex(("127.0.0.1", port))
            else:
                thread = threading.Thread(target=_refuse_all, args=[listener], daemon=True)
                opened.callback(thread.join, 1)
                opened.callback(listener.shutdown, socket.SHUT_RDWR)
                thread.start()
            return f"http://127.0.0.1:{port}"

        yield of


def _refuse_all(listener: socket.socket) -> None:
    """Answer as a web server that is not AWS."""
    page = b"<html>Not\x1b[2J here</html>"
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.0 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", NETWORKED)
def test_command_reports_an_unreachable_aws_in_one_line_within_seconds(
    typed: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch, name: str, place: str
) -> None:
    """The waits are those of `aws`, shortened; no client has longer ones of its own."""
    made: list[Any] = []
    create = Session.create_client

    def create_client(session: Session, *arguments: Any, **options: Any) -> Any:
        made.append(create(session, *arguments, **options))
        return made[-1]

    monkeypatch.setattr(Session, "create_client", create_client)
    monkeypatch.setattr(aws, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr("time.sleep", lambda _: None)
    arguments, variables = NETWORKED[name]
    began = time.monotonic()
    typed(*arguments, **variables, **CREDENTIALS, **REGION, AWS_ENDPOINT_URL=endpoint(place))
    assert time.monotonic() - began < 20  # on a busy machine; a second on another
    assert made
    for client in made:
        assert client.meta.config.connect_timeout == 0.2
        assert client.meta.config.retries["total_max_attempts"] <= aws.ATTEMPTS


@pytest.mark.parametrize("place", ["nobody listens", "nobody answers", "no such name"])
@pytest.mark.parametrize("name", sorted(OF_AUTH0))
def test_unreachable_aws_ends_a_command_of_auth0_before_auth0_is_asked(
    typed: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch, name: str, place: str
) -> None:
    monkeypatch.setattr(aws, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr("time.sleep", lambda _: None)
    auth0 = {"AUTH0_DOMAIN": "acme.eu.auth0.com", "AUTH0_CLIENT_ID": "c", "AUTH0_CLIENT_SECRET": "s3cret"}
    address = endpoint(place)
    said = typed(
        name, "--env", "nowhere", **auth0, **CREDENTIALS, **REGION, AUTH0_BASE_URL=NOBODY, AWS_ENDPOINT_URL=address
    )
    assert "AWS cannot be reached" in said
    assert address in said


def test_clients_wait_for_aws_for_seconds_at_most() -> None:
    assert aws.CONNECT_SECONDS * aws.ATTEMPTS <= 6


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("arguments", [["user", "auth0|1"], ["sql", "SELECT 1"]])
def test_command_reports_an_unreachable_postgres(
    typed: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], place: str
) -> None:
    url = endpoint(place).replace("http://", "postgresql://u:s3cret@") + "/d"
    began = time.monotonic()
    said = typed(*arguments, DATABASE_URL=url)
    assert "batch" not in said
    assert "s3cret" not in said
    assert time.monotonic() - began < 20  # on a busy machine; 5 seconds on another


def test_commands_have_shorter_timeouts_than_the_sdk(typed: Any) -> None:
    typed(*ASK, **ATHENA, AWS_DEFAULT_REGION="eu-central-1")
    config: Any = boto3.client("sqs").meta.config
    assert config.connect_timeout == aws.CONNECT_SECONDS
    assert config.retries["total_max_attempts"] == aws.ATTEMPTS


def refusal(code: Any, operation: Any = "GetItem", message: Any = "no") -> Any:
    return exceptions.ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.mark.parametrize(
    ("error", "names"),
    [
        (refusal("ExpiredTokenException"), ["expired", "aws sso login"]),
        (refusal("UnrecognizedClientException"), ["AWS_PROFILE"]),
        (refusal("AccessDeniedException", message="User: u is not\nauthorized"), ["GetItem", "u is not authorized"]),
        (refusal("ResourceNotFoundException"), ["USERS_TABLE", "AWS_DEFAULT_REGION"]),
        (refusal("NoSuchBucket", "ListObjectsV2"), ["ARCHIVE_BUCKET", "AWS_DEFAULT_REGION"]),
        (refusal("ValidationException", message="Hash key is too long"), ["GetItem", "Hash key is too long"]),
        (exceptions.ReadTimeoutError(endpoint_url="https://x"), ["https://x"]),
        (exceptions.ParamValidationError(report="Invalid length"), ["Invalid length"]),
        (psycopg.errors.UndefinedTable('relation "auth0.users" does not exist'), ["auth0.users", "migration"]),
        (psycopg.errors.InsufficientPrivilege("permission denied for table users"), ["denied", "roles"]),
        (psycopg.errors.AdminShutdown("terminating connection"), ["terminating connection", "again"]),
    ],
)  # fmt: skip
def test_each_kind_of_error(error: Any, names: Any) -> None:
    said = str(failures.message(error))
    assert [name for name in names if name not in said] == []
    assert "\n" not in said


def test_the_cause_counts_where_the_error_is_about_something_else() -> None:
    def chained(error: Any, cause: Any) -> Any:
        error.__cause__ = cause
        return failures.message(error)

    expired = refusal("ExpiredTokenException", "BeginTransaction")
    assert "aws sso login" in chained(DataApiError("x"), expired)
    assert "AWS_ENDPOINT_URL" in chained(Unreachable("x"), exceptions.EndpointConnectionError(endpoint_url=NOBODY))
    assert "batch" not in chained(StoreDown("x"), psycopg.OperationalError("connection refused"))
    assert "secretsmanager" in chained(NotAllowed("x"), refusal("AccessDeniedException", "BeginTransaction"))


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    assert failures.message(KeyError("x")) is None
