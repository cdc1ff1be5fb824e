"""The log of a deployed function, a line each."""

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.errors import BadSettings
from tests.cli.test_deploy import OUTPUTS, Account
from tests.cli.test_undelivered import Deployment, deployment
from tests.emulator.support import REGION

__all__ = ["deployment"]

pytestmark = pytest.mark.emulator

ERROR, INFO = '{"level": "ERROR", "reason": "StoreDown"}', '{"level": "INFO", "deferred": 2}'


@pytest.fixture
def filled(deployment: Deployment) -> Deployment:
    logs = deployment.aws.client("logs")
    groups = {
        f"/aws/lambda/{deployment.name}-sync-postgres": ["START\n", ERROR, INFO],
        f"/aws/kinesisfirehose/{deployment.name}-archive": ["S3.AccessDenied"],
    }
    for group, lines in groups.items():
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="1")
        now = int(time.time() * 1000)
        old = {"timestamp": now - 7_200_000, "message": "two hours old"}
        events = [old, *({"timestamp": now, "message": line} for line in lines)]
        logs.put_log_events(logGroupName=group, logStreamName="1", logEvents=events)
    return deployment


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["sync-postgres"], ["START", ERROR, INFO]),
        (["sync-postgres", "--minutes", "180"], ["two hours old", "START", ERROR, INFO]),
        (["sync-postgres", "--errors"], [ERROR]),
        (["sync-postgres", "--filter", "{ $.deferred > 0 }"], [INFO]),
        (["firehose"], ["S3.AccessDenied"]),
    ],
)
def test_lines_of_the_log(filled: Deployment, arguments: list[str], lines: list[str]) -> None:
    result = CliRunner().invoke(app, ["logs", *arguments, "--deployment", filled.name])
    assert result.stdout.splitlines() == lines


def test_environment_names_the_log_groups_and_their_region(
    filled: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = f"/aws/lambda/{filled.name}-sync-postgres"
    account = Account(tmp_path, monkeypatch)
    account.set(outputs=OUTPUTS | {"region": REGION, "log_group_names": {"sync-postgres": group}})
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    monkeypatch.setenv("DEPLOYMENT", "another")
    result = CliRunner().invoke(app, ["logs", "sync-postgres", "--env", "prod"])
    assert result.stdout.splitlines() == ["START", ERROR, INFO]
    result = CliRunner().invoke(app, ["logs", "nothing", "--env", "prod"])
    assert result.exit_code == 2
    assert "there are sync-postgres" in result.output


def test_a_log_that_is_not_there_is_named(deployment: Deployment) -> None:
    result = CliRunner().invoke(app, ["logs", "nothing", "--deployment", deployment.name])
    assert isinstance(result.exception, BadSettings)
    assert f"/aws/lambda/{deployment.name}-nothing" in str(result.exception)
