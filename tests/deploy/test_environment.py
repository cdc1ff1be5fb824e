"""The variables that point a shell at a deployment."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from devstack.terraform import aws_environment
from pipeline.cli import app, env
from pipeline.deploy import DeployError, environment

URL = "https://sqs.eu-central-1.amazonaws.com/123456789012"
SOURCE = "aws.partner/auth0.com/acme/auth0.logs"
OUTPUTS: dict[str, Any] = {
    "deployment": "auth0-sync-prod",
    "region": "eu-central-1",
    "source_region": "eu-west-1",
    "event_sources": {"log-stream": SOURCE},
    "users_table": "users",
    "bus_names": {"log-stream": "bus"},
    "archive_bucket": "archive",
    "archive_prefix": "logs/",
    "archive_error_prefix": "errors/",
    "athena_workgroup": "workgroup",
    "glue_database": "glue",
    "function_names": {"migrate": "auth0-sync-prod-migrate"},
    "queue_urls": {"postgres": f"{URL}/postgres", "dynamodb": f"{URL}/dynamodb"},
    "dlq_urls": {"postgres": f"{URL}/postgres-failed", "dynamodb": f"{URL}/dynamodb-failed"},
}
DATABASE = {
    "database": {"cluster_identifier": "auth0-sync-prod-1", "cluster_arn": "arn:cluster", "name": "auth0"},
    "query_secret_arn": "arn:secret",
}
STACK = aws_environment("http://127.0.0.1:4566", "us-east-1") | {"DATABASE_URL": "postgresql://127.0.0.1/auth0"}


def test_a_server_of_ones_own_is_reached_by_ones_own_variables() -> None:
    variables = environment.variables(OUTPUTS)
    assert variables["AWS_REGION"] == "eu-central-1"
    assert variables["SOURCE_REGION"] == "eu-west-1"
    assert variables["DEPLOYMENT"] == "auth0-sync-prod"
    assert variables["LOG_STREAM_SOURCE"] == SOURCE
    assert variables["USERS_TABLE"] == "users"
    assert variables["POSTGRES_DLQ_URL"] == f"{URL}/postgres-failed"
    hidden = environment.hidden(OUTPUTS, {"DATABASE_URL": "postgresql://127.0.0.1/mine", "AWS_ACCESS_KEY_ID": "mine"})
    assert not (variables.keys() | hidden) & {"DATABASE_URL", "PGHOST", "AWS_ACCESS_KEY_ID"}


def test_aurora_is_reached_by_the_data_api_and_no_other_database_instead() -> None:
    outputs = OUTPUTS | DATABASE
    variables = environment.variables(outputs)
    assert variables["CLUSTER_ID"] == "auth0-sync-prod-1"
    assert variables["CLUSTER_ARN"] == "arn:cluster"
    assert variables["QUERY_SECRET_ARN"] == "arn:secret"
    assert variables["PGDATABASE"] == "auth0"
    assert {"DATABASE_URL", "PGHOST"} <= set(environment.hidden(outputs, {}))


def test_no_variable_holds_credentials() -> None:
    assert not [name for name in environment.variables(OUTPUTS | DATABASE) if name.startswith("AWS_ACCESS")]


def test_variables_of_other_deployments_are_unset() -> None:
    more = OUTPUTS | DATABASE | {"event_sources": OUTPUTS["event_sources"] | {"event-stream": "events"}}
    more |= {"function_names": {"manifest": "auth0-sync-prod-manifest"}, "archive_lock_days": 30}
    more |= {"manifest_key_arn": "arn:manifests"}
    more |= {"kms_key_arn": "arn:key", "bus_names": {"log-stream": "bus", "event-stream": "other"}}
    for kind in ("queue_urls", "dlq_urls"):
        more[kind] = more[kind] | {"refresh": f"{URL}/refresh"}
    left = environment.variables(more).keys() - environment.variables(OUTPUTS).keys()
    assert left == set(environment.SOME)
    assert left <= set(environment.hidden(OUTPUTS, {}))
    assert not left & set(environment.hidden(more, {}))


def test_a_deployment_of_an_earlier_version_says_so() -> None:
    with pytest.raises(DeployError, match=r"lack 'deployment'. Deploy again"):
        environment.variables({name: value for name, value in OUTPUTS.items() if name != "deployment"})


def test_a_shell_that_used_the_embedded_stack_uses_aws_afterwards(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in STACK.items():
        monkeypatch.setenv(name, value)
    seen: dict[str, str] = {}

    def deployed(name: str) -> object:
        seen.update(os.environ, ENV=name)
        return OUTPUTS

    monkeypatch.setattr(env, "deployed", deployed)
    printed = CliRunner().invoke(app, ["env", "--env", "acme"]).stdout
    script = f"{printed}\nenv -0 > {tmp_path}/env"
    subprocess.run(["bash", "-ec", script], env={"PATH": os.defpath} | STACK, check=True)
    after = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().split("\0") if line)
    assert not after.keys() & (STACK.keys() - {"AWS_REGION", "AWS_DEFAULT_REGION"})
    assert after["AWS_REGION"] == "eu-central-1"
    # Nor may the command itself look for the state where the embedded stack is.
    assert seen["ENV"] == "acme"
    assert "AWS_ENDPOINT_URL" not in seen


def test_ones_own_credentials_and_endpoint_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    for own in (
        {"AWS_ACCESS_KEY_ID": "AKIA0123", "AWS_ENDPOINT_URL": "http://127.0.0.1:4566"},
        {"AWS_ACCESS_KEY_ID": "test", "AWS_ENDPOINT_URL": "https://proxy.acme.example"},
        {"AWS_ACCESS_KEY_ID": "test"},
    ):
        assert not set(environment.hidden(OUTPUTS, own)) & set(environment.STACK)


def test_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "deployed", lambda _: OUTPUTS)
    assert json.loads(CliRunner().invoke(app, ["env", "--env", "acme", "--json"]).stdout) == environment.variables(
        OUTPUTS
    )
