"""The life of a deployment, by its commands, with the real configuration on the emulator."""

import json
import os
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import psycopg
import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from devstack.emulator.patches.idle_functions import TAG
from pipeline import packaging
from pipeline.archive import manifest
from pipeline.archive.erasures import record_erasure
from pipeline.archive.records import Erased
from pipeline.cli import app
from pipeline.cli.app import EXIT_UNHEALTHY
from pipeline.deploy import DeployError, deployment
from tests.deploy.support import real
from tests.emulator.support import ACCOUNT, REGION, Aws, name
from tests.infra.deployed import initialised, one_provider

pytestmark = [pytest.mark.emulator, pytest.mark.postgres, pytest.mark.stack]

ENVIRONMENT = "whole"
PREFIX = f"auth0-sync-{ENVIRONMENT}"
NOWHERE = "postgresql://postgres@127.0.0.1:9/auth0"
"""A server that refuses connections."""


def auth0(source: str) -> str:
    """The variable that names the event source of the Log Stream."""
    return f'auth0 = {{ log_stream_source_name = "{source}" }}\n'


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The functions' packages."""
    directory = tmp_path_factory.mktemp("packages")
    for function in packaging.FUNCTIONS:
        packaging.build(function, "host", directory)
    return directory


@pytest.fixture(scope="module")
def provider(aws: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Settings that make every command use one running provider."""
    terraform = initialised(tmp_path_factory.mktemp("terraform"))
    with one_provider(replace(terraform, endpoint=aws.emulator.endpoint)) as terraform:
        yield terraform.settings


@pytest.fixture
def root(
    tmp_path: Path,
    packages: Path,
    provider: Mapping[str, str],
    aws: Aws,
    empty_postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A repository with an environment that is protected as one for production is, and a shell that is signed in."""
    source = f"aws.partner/auth0.com/acme-{uuid4().hex[:8]}/auth0.logs"
    aws.events.create_partner_event_source(Name=source, Account=ACCOUNT)
    local = (packaging.ROOT / "infra/terraform/environments/local.tfvars").read_text()
    assert 'environment       = "local"\nprotect_data      = false\n' in local
    variables = local.replace('"local"', f'"{ENVIRONMENT}"').replace("protect_data      = false", "protect_data = true")
    variables += "\nwatch = { questions = { mfa_weakened = {} } }\nreconcile = { lag_seconds = 60 }\n"
    # One principal plays every part here, those of Firehose and of an eraser, too.
    variables += f'access = {{ archive_eraser_arns = ["arn:aws:iam::{ACCOUNT}:root"] }}\n'
    real(tmp_path, environment=ENVIRONMENT, variables=f"{variables}\n{auth0(source)}")

    for variable, value in {
        "AWS_ENDPOINT_URL": aws.emulator.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "TF_VAR_database_url": empty_postgres_url,
        "TF_VAR_reader_database_url": empty_postgres_url,
        "TF_VAR_package_dir": str(packages),
        "TF_VAR_lambda": json.dumps(
            {"architecture": "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"}
        ),
        "NO_PROXY": "127.0.0.1",
        **provider,
    }.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    find = deployment.Deployment.find.__func__  # type: ignore[attr-defined]  # a class method has one
    here = classmethod(lambda cls, wanted, **options: find(cls, wanted, tmp_path, **options))
    monkeypatch.setattr(deployment.Deployment, "find", here)
    return tmp_path


def run(command: str, *arguments: str) -> Any:
    return CliRunner().invoke(app, [command, "--env", ENVIRONMENT, *arguments])


def functions(aws: Aws) -> dict[str, str]:
    """Revision of each function that there is, which changes with whatever is changed of it."""
    found = aws.client("lambda").list_functions()["Functions"]
    return {each["FunctionName"]: each["RevisionId"] for each in found if each["FunctionName"].startswith(PREFIX)}


def make_idle(aws: Aws, *functions: str) -> None:
    """Put functions into the state that they have when nobody has invoked them for weeks."""
    for function in functions:
        arn = aws.lambda_.get_function(FunctionName=f"{PREFIX}-{function}")["Configuration"]["FunctionArn"]
        aws.lambda_.tag_resource(Resource=arn, Tags={TAG: "1"})


def tables(aws: Aws) -> list[str]:
    return [table for table in aws.client("dynamodb").list_tables()["TableNames"] if table.startswith(PREFIX)]


def buckets(aws: Aws) -> list[str]:
    found = aws.s3.list_buckets()["Buckets"]
    return [bucket["Name"] for bucket in found if bucket["Name"].startswith(PREFIX)]


def run_scheduled(aws: Aws, function: str) -> Any:
    """Invoke a function as its schedule does, with the rights of its role; return its answer."""
    answer = aws.lambda_.invoke(FunctionName=f"{PREFIX}-{function}", Payload=b"{}")
    said = answer["Payload"].read()
    assert "FunctionError" not in answer, said
    return json.loads(said)


def prove_archive(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the manifest function list and sign, with the rights of its role, and find what an intruder deletes."""
    [bucket] = buckets(aws)
    last = manifest.last_closed(datetime.now(UTC))
    day = last - manifest.DAY
    first, second = (f"logs/dt={day}/hour=08/{number}.json.gz" for number in (1, 2))
    for key in (first, second):
        aws.s3.put_object(Bucket=bucket, Key=key, Body=b"ada")
    assert run_scheduled(aws, "manifest") == [manifest.key(day, 0), manifest.key(last, 0)]
    for variable, value in json.loads(run("env", "--json").stdout).items():
        monkeypatch.setenv(variable, value)
    before = sha256(b"ada").hexdigest()
    [record] = record_erasure(aws.lambda_, os.environ["MANIFEST_FUNCTION"], [Erased(first, before, None)])
    aws.s3.delete_object(Bucket=bucket, Key=first)
    verified = CliRunner().invoke(app, ["verify", "--json"])
    assert verified.exit_code == 0, (verified.output, verified.exception)
    assert json.loads(verified.stdout)["erasures"] == [record]
    with pytest.raises(ClientError, match="AccessDenied"):  # not even the account signs
        aws.client("kms").sign(
            KeyId=os.environ["MANIFEST_KEY_ARN"],
            Message=bytes(32),
            MessageType="DIGEST",
            SigningAlgorithm="ECDSA_SHA_256",
        )
    aws.s3.delete_object(Bucket=bucket, Key=second)
    assert CliRunner().invoke(app, ["verify"]).exit_code == EXIT_UNHEALTHY


def test_from_nothing_to_nothing(
    root: Path, aws: Aws, empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A database that cannot be migrated: everything waits, and the sync does not exist.
    monkeypatch.setenv("TF_VAR_database_url", NOWHERE)
    result = run("deploy", "--yes")
    assert isinstance(result.exception, DeployError), result.output
    said = str(result.exception)
    assert said.startswith("The migration of the database failed:\n")
    assert "port 9 failed: Connection refused" in said
    assert "The sync has not been started" in said
    assert set(functions(aws)) == {f"{PREFIX}-migrate", f"{PREFIX}-watch", f"{PREFIX}-manifest"}

    # Put right, it goes on from there, migrates, starts the sync, and works.
    monkeypatch.setenv("TF_VAR_database_url", empty_postgres_url)
    result = run("deploy", "--yes")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "Schema of Postgres: 0" in result.output
    assert "✘" not in result.output
    assert "✔ Sync to Postgres: deletion" in result.output

    # The watch asks its question.
    run_scheduled(aws, "watch")

    # The comparison reads both stores.
    found = run_scheduled(aws, "reconcile")
    assert (found["finished"], found["users"], found["drift"]) == (True, {"postgres": 0, "dynamodb": 0}, {})

    prove_archive(aws, monkeypatch)

    # A migration that fails leaves every function of the sync as it was; after quiet weeks it is woken first.
    before = functions(aws)
    make_idle(aws, "migrate")
    monkeypatch.setenv("TF_VAR_database_url", NOWHERE)
    result = run("deploy", "--yes")
    said = str(result.exception)
    assert "✔ Idle functions" in result.output
    # All else is as the configuration has it: the sinks' functions wait for the migration, and so may change.
    assert sorted(re.findall(r"^  \S module\.auth0_sync\.(.*)$", result.output, flags=re.M)) == [
        "aws_lambda_invocation.migrate[0] (cannot update)",
        "module.dynamodb_sink.module.function.aws_lambda_function.this",
        "module.migrate.aws_lambda_function.this",
        "module.postgres_sink.module.function.aws_lambda_function.this",
        "module.reconcile[0].module.function.aws_lambda_function.this",
    ]
    assert "Connection refused" in said
    assert "the version that was deployed before is running" in said
    assert f"auth0-sync logs migrate --env {ENVIRONMENT}" in said
    after = functions(aws)
    changed = {function for function in after if after[function] != before[function]}
    assert changed == {f"{PREFIX}-migrate"}
    make_idle(aws, "sync-postgres")
    assert run("smoke").exit_code == 0
    monkeypatch.setenv("TF_VAR_database_url", empty_postgres_url)

    # The commands that need a deployment.
    outputs = json.loads(run("outputs").stdout)
    assert outputs["users_table"] == f"{PREFIX}-users"
    assert f"export USERS_TABLE={PREFIX}-users\n" in run("env").stdout
    make_idle(aws, "migrate")
    assert "Connection refused" in str(run("migrate").exception)

    # Destroyed, the data stays; the state still knows it.
    aws.s3.put_object(Bucket=outputs["archive_bucket"], Key="athena-results/one", Body=b"x")
    result = run("destroy", "--yes")
    assert result.exit_code == 0, (result.output, result.exception)
    assert functions(aws) == {}
    assert (len(tables(aws)), len(buckets(aws))) == (1, 1)
    assert aws.client("dynamodb").describe_table(TableName=tables(aws)[0])["Table"]["DeletionProtectionEnabled"]
    assert "Nothing is deployed" in str(run("smoke").exception)

    # Asked for by name, it goes too, protected as it is.
    result = run("destroy", "--yes", "--with-data")
    assert result.exit_code == 0, (result.output, result.exception)
    assert tables(aws) == buckets(aws) == []
    result = run("destroy", "--yes", "--with-data")
    assert f"Nothing of {ENVIRONMENT} is left" in result.output

    with psycopg.connect(empty_postgres_url) as connection:  # a server of one's own is never touched
        assert connection.execute("SELECT count(*) FROM auth0.users").fetchone() == (1,)


def test_a_source_that_auth0_has_not_made_is_noticed_first(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = root / "infra/terraform/environments" / f"{ENVIRONMENT}.tfvars"
    source = f"aws.partner/auth0.com/{name('other')}/auth0.logs"
    variables.write_text(variables.read_text().rpartition("auth0 =")[0] + auth0(source))
    said = str(run("plan").exception)
    assert f"the event source {source} does not exist, in account {ACCOUNT}" in said
