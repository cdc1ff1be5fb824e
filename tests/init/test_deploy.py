"""A deploy starts the streams that `init` has stopped, once its smoke test has found nothing wrong."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.auth0.streams import Stream
from pipeline.cli import app
from pipeline.deploy.kept import Stopped
from pipeline.doctor import Finding
from tests.cli.test_deploy import OUTPUTS, RULE, Account
from tests.deploy.support import planned
from tests.init.aws import ACCOUNT
from tests.refresh.management_api import CLIENT_ID, DOMAIN, ManagementApi
from tests.refresh.streams_api import stream

SOURCE = OUTPUTS["event_sources"]["log-stream"]


@pytest.fixture
def account(tmp_path: Path, shell: pytest.MonkeyPatch, auth0: ManagementApi) -> Account:
    """A deployment whose Log Stream is paused by `init`."""
    found = Account(tmp_path, shell)
    found.set(planned("create", RULE))
    auth0.streams.log.append(stream("log", "auth0-sync-prod", ACCOUNT, "eu-central-1", SOURCE, status="paused"))
    stopped = Stopped(found.root / ".deploy" / "prod")
    stopped.begin("log", DOMAIN, CLIENT_ID)
    there: Any = auth0.streams.log[0]
    stopped.stopped(
        Stream(kind="log", id=there["id"], name="", status="paused", account=ACCOUNT, region="", source=SOURCE)
    )
    return found


def deploy() -> Any:
    return CliRunner().invoke(app, ["deploy", "--env", "prod", "--yes"])


def test_starts_the_streams_at_its_end(account: Account, auth0: ManagementApi) -> None:
    result = deploy()
    assert result.exit_code == 0
    assert auth0.streams.log[0]["status"] == "active"
    assert "Log Stream auth0-sync-prod is active" in result.output
    assert "Auth0's streams" not in deploy().output


def test_starts_them_if_there_was_nothing_left_to_apply(account: Account, auth0: ManagementApi) -> None:
    """An earlier deploy was stopped after its apply."""
    account.set()
    assert deploy().exit_code == 0
    assert auth0.streams.log[0]["status"] == "active"


def test_a_problem_leaves_them_stopped(account: Account, auth0: ManagementApi) -> None:
    account.findings = [Finding("Rules", "bad", "why", "do")]
    result = deploy()
    assert result.exit_code == 3
    assert auth0.streams.log[0]["status"] == "paused"
    assert "auth0-sync streams --env prod --start" in result.output


def test_streams_that_cannot_be_started_are_something_wrong(
    account: Account, auth0: ManagementApi, shell: pytest.MonkeyPatch
) -> None:
    shell.setenv("AUTH0_CLIENT_SECRET", "wrong-secret")
    result = deploy()
    assert result.exit_code == 3
    assert "refused the credentials" in result.output
    assert "wrong-secret" not in result.output
    assert auth0.streams.log[0]["status"] == "paused"


def test_offers_the_backfill(account: Account) -> None:
    assert "backfill --from-file" in deploy().output
