"""The name of a user in the logs, by the key that only the deployment has."""

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.errors import CommandError
from pipeline.pseudonym import pseudonym
from tests.cli.test_undelivered import Deployment, deployment

__all__ = ["deployment"]

pytestmark = pytest.mark.emulator


def function(deployment: Deployment, **environment: str) -> None:
    name = f"{deployment.name}-sync-dynamodb"
    deployment.aws.function("", FunctionName=name, Environment={"Variables": environment})


def test_command_prints_the_name_by_the_deployments_key(deployment: Deployment) -> None:
    function(deployment, PSEUDONYM_KEY="key")
    result = CliRunner().invoke(app, ["pseudonym", "auth0|ada", "--deployment", deployment.name])
    assert result.stdout == f"{pseudonym('auth0|ada', 'key')}\n"


def test_missing_key_is_an_error(deployment: Deployment) -> None:
    missing = CliRunner().invoke(app, ["pseudonym", "auth0|ada", "--deployment", deployment.name])
    assert isinstance(missing.exception, CommandError)
    assert f"there is no function {deployment.name}-sync-dynamodb" in str(missing.exception)
    function(deployment)
    keyless = CliRunner().invoke(app, ["pseudonym", "auth0|ada", "--deployment", deployment.name])
    assert isinstance(keyless.exception, CommandError)
    assert "it has no PSEUDONYM_KEY" in str(keyless.exception)
