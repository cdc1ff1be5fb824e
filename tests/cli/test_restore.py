"""The users of a Postgres into the queue of a sink."""

import json
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from pipeline.changes import Carried, Partial, Snapshot, Tombstone, merged, read
from pipeline.cli import app, restore
from pipeline.data_api import TooLarge
from pipeline.delivery.envelope import StoredUser, stored_user
from pipeline.errors import UnknownShape
from pipeline.query import Result
from tests.cli.test_undelivered import Deployment, deployment
from tests.strategies import EVENTS_SOURCE, change, deleted, streamed, text, updated, user

__all__ = ["deployment"]

pytestmark = pytest.mark.emulator

MERGED = merged(
    change(updated(user("auth0|26", email="old@acme.example"))),
    change(streamed("user.updated", {"user_id": "auth0|26", "updated_at": "2026-01-01T00:00:00.000Z", "name": "A",
                                     "nickname": "a"})),
)  # fmt: skip
EVENTS = [*(updated(user(f"auth0|{number:02}")) for number in range(24)), deleted("auth0|24")]
CHANGES = {
    change.user_id: change
    for event in [*EVENTS, streamed("user.created", user("auth0|25", email="ä\\u0000@acme.example"))]
    for change in read(text(event))
    if isinstance(change, Snapshot | Tombstone)
} | {MERGED.user_id: MERGED}


def row(change: Snapshot | Tombstone) -> tuple[Any, ...]:
    """Return the row of a change in Postgres."""
    profile = bytes(change.profile).decode() if isinstance(change, Snapshot) else "{}"
    deleted = isinstance(change, Tombstone)
    carried = msgspec.json.encode(change.carried).decode() if change.carried else None
    return change.user_id, change.version, change.source, change.event_id, deleted, profile, carried


def ask(query: str) -> Result:
    """Return a table that gives three rows at once, at most."""
    after = bytes.fromhex(query.partition("decode('")[2].partition("'")[0]).decode()
    size = int(query.rpartition(" ")[2])
    rows = [row(change) for name, change in sorted(CHANGES.items()) if name > after][:size]
    if len(rows) > 3:
        raise TooLarge
    return Result(("user_id", "version", "source", "event_id", "deleted", "profile", "carried"), rows)


def test_every_user_is_sent_as_it_is_stored(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore, "ask", ask)
    queue = deployment.queue("dynamodb")
    command = ["restore", "dynamodb", "--deployment", deployment.name, "--json"]
    looked = json.loads(CliRunner().invoke(app, [*command, "--dry-run"]).stdout)
    assert (looked["users"], looked["sent"], deployment.waiting(queue)) == (27, 0, 0)
    done = json.loads(CliRunner().invoke(app, command).stdout)
    assert done == {"users": 27, "sent": 27, "refused": {}}
    sent = [read(message["Body"])[0] for message in deployment.aws.messages(queue, 27)]
    # Whole, the version with it: where the store has the user already, it is a duplicate.
    assert {change.user_id: change for change in sent if isinstance(change, Snapshot | Tombstone)} == CHANGES


def test_a_user_of_several_changes_keeps_the_versions_of_the_parts() -> None:
    assert isinstance(MERGED, Partial)
    assert read(stored_user("restore", StoredUser(*row(MERGED)))) == (MERGED,)


def test_parts_newer_than_the_user_are_refused() -> None:
    forged = StoredUser(*row(MERGED))._replace(carried='{"whole":"9","keys":{}}')
    with pytest.raises(UnknownShape):
        read(stored_user("restore", forged))


def test_only_our_own_events_carry_parts() -> None:
    event = json.loads(stored_user("restore", StoredUser(*row(MERGED))))
    [found] = read(text(event | {"source": EVENTS_SOURCE}))
    assert isinstance(found, Partial)
    assert found.carried == Carried()


@pytest.mark.parametrize("user_id", ["auth0|01", "auth0|24", "auth0|26"])
def test_to_overwrite_it_ranks_above_what_is_stored_but_not_above_a_later_change(user_id: str) -> None:
    stored = CHANGES[user_id]
    [sent] = read(stored_user("restore", StoredUser(*row(stored)), overwrite=True))
    assert isinstance(sent, type(stored) if user_id != "auth0|26" else Snapshot)
    assert sent.carried is None
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
