"""The users of a Postgres into the queue of a sink."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.changes import Snapshot, Tombstone, read
from pipeline.cli import app, restore
from pipeline.data_api import Answer, TooLarge
from tests.cli.test_redrive import Deployment, deployment
from tests.strategies import user

__all__ = ["deployment"]

pytestmark = pytest.mark.emulator

ROWS: dict[str, tuple[Any, ...]] = {
    f"auth0|{number:02}": (f"auth0|{number:02}", json.dumps(user(f"auth0|{number:02}")), None) for number in range(25)
}
ROWS["auth0|07"] = ("auth0|07", "{}", datetime(2026, 11, 22, 8, tzinfo=UTC))


def ask(query: str) -> Answer:
    """A table that gives three rows at once, at most."""
    after = bytes.fromhex(query.partition("decode('")[2].partition("'")[0]).decode()
    size = int(query.rpartition(" ")[2])
    rows = [row for name, row in sorted(ROWS.items()) if name > after][:size]
    if len(rows) > 3:
        raise TooLarge
    return Answer(("user_id", "profile", "deleted_at"), rows)


def test_every_user_is_sent_deleted_ones_as_deleted(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "ask", ask)
    queue = deployment.queue("dynamodb")
    command = ["restore", "dynamodb", "--deployment", deployment.name, "--json"]
    looked = json.loads(CliRunner().invoke(app, [*command, "--dry-run"]).stdout)
    assert (looked["users"], looked["sent"], deployment.waiting(queue)) == (25, 0, 0)
    done = json.loads(CliRunner().invoke(app, command).stdout)
    assert done == {"users": 25, "sent": 25, "refused": {}}
    changes = [read(message["Body"])[0] for message in deployment.aws.messages(queue, 25)]
    assert {type(change) for change in changes} == {Snapshot, Tombstone}
    assert sorted(change.user_id for change in changes if isinstance(change, Snapshot | Tombstone)) == sorted(ROWS)
    [gone] = [change for change in changes if isinstance(change, Tombstone)]
    assert (gone.user_id, gone.deleted_at) == ("auth0|07", "2026-11-22T08:00:00.000000Z")


def test_a_user_that_the_data_api_cannot_return_is_an_error(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> Answer:
        raise TooLarge

    monkeypatch.setattr(restore, "ask", refuse)
    deployment.queue("postgres")
    result = CliRunner().invoke(app, ["restore", "postgres", "--deployment", deployment.name])
    assert isinstance(result.exception, TooLarge)


def test_the_refresh_is_no_store(deployment: Deployment) -> None:
    assert CliRunner().invoke(app, ["restore", "refresh", "--deployment", deployment.name]).exit_code == 2
