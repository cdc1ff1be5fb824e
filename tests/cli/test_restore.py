"""The users of a Postgres into the queue of a sink."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.changes import Snapshot, Tombstone, read
from pipeline.cli import app, restore
from pipeline.data_api import TooLarge
from pipeline.query import Result
from tests.cli.test_undelivered import Deployment, deployment
from tests.strategies import deleted, streamed, text, updated, user

__all__ = ["deployment"]

pytestmark = pytest.mark.emulator

EVENTS = [*(updated(user(f"auth0|{number:02}")) for number in range(24)), deleted("auth0|24")]
CHANGES = {
    change.user_id: change
    for event in [*EVENTS, streamed("user.created", user("auth0|25", email="ä\\u0000@acme.example"))]
    for change in read(text(event))
    if isinstance(change, Snapshot | Tombstone)
}


def row(change: Snapshot | Tombstone) -> tuple[Any, ...]:
    """Return the row of a change in Postgres."""
    profile = bytes(change.profile).decode() if isinstance(change, Snapshot) else "{}"
    deleted = isinstance(change, Tombstone)
    return change.user_id, change.version, change.source, change.event_id, deleted, profile


def ask(query: str) -> Result:
    """Return a table that gives three rows at once, at most."""
    after = bytes.fromhex(query.partition("decode('")[2].partition("'")[0]).decode()
    size = int(query.rpartition(" ")[2])
    rows = [row(change) for name, change in sorted(CHANGES.items()) if name > after][:size]
    if len(rows) > 3:
        raise TooLarge
    return Result(("user_id", "version", "source", "event_id", "deleted", "profile"), rows)


def test_every_user_is_sent_as_it_is_stored(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "ask", ask)
    queue = deployment.queue("dynamodb")
    command = ["restore", "dynamodb", "--deployment", deployment.name, "--json"]
    looked = json.loads(CliRunner().invoke(app, [*command, "--dry-run"]).stdout)
    assert (looked["users"], looked["sent"], deployment.waiting(queue)) == (26, 0, 0)
    done = json.loads(CliRunner().invoke(app, command).stdout)
    assert done == {"users": 26, "sent": 26, "refused": {}}
    sent = [read(message["Body"])[0] for message in deployment.aws.messages(queue, 26)]
    # Whole, the version with it: where the store has the user already, it is a duplicate.
    assert {change.user_id: change for change in sent if isinstance(change, Snapshot | Tombstone)} == CHANGES


@pytest.mark.parametrize("user_id", ["auth0|01", "auth0|24"])
def test_to_overwrite_it_ranks_above_what_is_stored_but_not_above_a_later_change(user_id: str) -> None:
    stored = CHANGES[user_id]
    [sent] = read(restore.message(*row(stored), overwrite=True))
    assert isinstance(sent, type(stored))
    assert sent.version > stored.version
    assert sent.version[:30] == stored.version[:30]  # updated_at and rank


def test_a_user_that_the_data_api_cannot_return_is_an_error(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> Result:
        raise TooLarge

    monkeypatch.setattr(restore, "ask", refuse)
    deployment.queue("postgres")
    result = CliRunner().invoke(app, ["restore", "postgres", "--deployment", deployment.name])
    assert isinstance(result.exception, TooLarge)


def test_the_refresh_is_no_store(deployment: Deployment) -> None:
    assert CliRunner().invoke(app, ["restore", "refresh", "--deployment", deployment.name]).exit_code == 2
