"""Messages that a function gave up: described, sent again, and deleted only once they are taken."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest

from pipeline.delivery import Sent
from pipeline.delivery.dead_letters import DeadLetters
from pipeline.delivery.errors import NotStored, QueueDown
from pipeline.delivery.failed import BATCH_FAILED, LOGGED, Choice, find
from tests.strategies import text, updated, user

BODIES = {
    "unreadable": "not JSON",
    "refused": text(updated(user("auth0|ada"))),
    "failed": text(updated(user("auth0|b"))),
}
LOG = [json.dumps({"message_id": name, "reason": "Refused"}) for name in ("refused", "another")]


class Letters(DeadLetters):
    """A dead-letter queue in memory, of which some messages cannot be deleted."""

    def __init__(self, stuck: Sequence[str] = ()) -> None:
        self.stuck, self.names = stuck, list(BODIES)

    def batches(self, limit: int | None = None) -> Iterator[list[Any]]:
        attributes = {"SentTimestamp": "1700000000000", "ApproximateReceiveCount": "21"}
        yield [{"MessageId": name, "Body": BODIES[name], "Attributes": attributes} for name in self.names[:limit]]

    def delete(self, messages: Sequence[Any]) -> int:
        gone = [message["MessageId"] for message in messages if message["MessageId"] not in self.stuck]
        self.names = [name for name in self.names if name not in gone]
        return len(gone)


class Target:
    def __init__(self, sent: Sent) -> None:
        self.sent, self.bodies = sent, list[str]()

    def send(self, bodies: Sequence[str]) -> Sent:
        self.bodies += bodies
        return self.sent


def log(since: float, pattern: str) -> Iterable[str]:
    assert (since, pattern) == (1_700_000_000, LOGGED)
    return LOG


def test_reason_comes_from_the_reader_the_log_or_the_batch() -> None:
    report = find(Letters(), log, Choice())
    assert {one.id: one.reason for one in report.messages} == {
        "unreadable": "NotJson", "refused": "Refused", "failed": BATCH_FAILED,
    }  # fmt: skip
    assert [one.received for one in report.messages] == [20] * 3
    assert [one.users for one in report.messages] == [[]] * 3
    assert (report.done, report.refused) == (0, {})
    with_users = find(Letters(), log, Choice(), users=True)
    assert [one.users for one in with_users.messages] == [[], ["auth0|ada"], ["auth0|b"]]


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        (Choice(["NotJson", "Refused"]), ["unreadable", "refused"]),
        (Choice(ids=["failed", "x"]), ["failed"]),
        (Choice(["NotJson"], ["failed"]), []),
    ],
)
def test_only_selected_messages_are_deleted(choice: Choice, chosen: list[str]) -> None:
    letters = Letters()
    report = find(letters, log, choice, delete=True)
    assert [one.id for one in report.messages] == chosen
    assert report.done == len(chosen)
    assert letters.names == [name for name in BODIES if name not in chosen]


def test_only_accepted_messages_are_deleted() -> None:
    letters, target = Letters(), Target(Sent({0: QueueDown(), 2: NotStored("StoreDown")}))
    report = find(letters, log, Choice(), put_back=target)
    assert target.bodies == list(BODIES.values())
    assert (report.done, report.refused) == (1, {"QueueDown": 1, "StoreDown": 1})
    assert letters.names == ["unreadable", "failed"]


def test_message_that_cannot_be_deleted_is_reported() -> None:
    report = find(Letters(["failed"]), log, Choice(), delete=True)
    assert (report.done, report.refused) == (2, {"NotDeleted": 1})
