"""Errors of AWS and Postgres in commands: one line, and no traceback."""

import sys
import time
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from botocore import exceptions

from pipeline.cli import aws, failures, main
from pipeline.data_api import DataApiError, NotAllowed, Unreachable
from pipeline.errors import StoreDown

NOBODY = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials, no region, no files of the AWS CLI, no instance to ask."""
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
CLUSTER = {"CLUSTER_ARN": "arn:aws:rds:eu:1:c", "MASTER_SECRET_ARN": "arn:aws:secret:s", "PGDATABASE": "d"}
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
def test_what_is_wrong_and_which_setting_it_is(typed: Any, arguments: Any, variables: Any, names: Any) -> None:
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


def test_what_people_type_waits_less_than_the_sdk(typed: Any) -> None:
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
