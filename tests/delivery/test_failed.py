"""Messages that a function gave up: described, sent again, and deleted only once they are taken."""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from pipeline.delivery import Sent
from pipeline.delivery.dead_letters import DeadLetters
from pipeline.delivery.errors import NotStored, QueueDown
from pipeline.delivery.failed import AT_ONCE, BATCH_FAILED, LOGGED, Choice, find, given_up, undelivered
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


REASONS = partial(given_up, log)


def test_reason_comes_from_the_reader_the_log_or_the_batch() -> None:
    report = find(Letters(), REASONS, Choice())
    assert {one.id: one.reason for one in report.messages} == {
        "unreadable": "NotJson", "refused": "Refused", "failed": BATCH_FAILED,
    }  # fmt: skip
    assert [one.received for one in report.messages] == [20] * 3
    assert [one.users for one in report.messages] == [[]] * 3
    assert (report.done, report.refused) == (0, {})
    with_users = find(Letters(), REASONS, Choice(), users=True)
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
    report = find(letters, REASONS, choice, delete=True)
    assert [one.id for one in report.messages] == chosen
    assert report.done == len(chosen)
    assert letters.names == [name for name in BODIES if name not in chosen]


def test_only_accepted_messages_are_deleted() -> None:
    letters, target = Letters(), Target(Sent({0: QueueDown(), 2: NotStored("StoreDown")}))
    report = find(letters, REASONS, Choice(), put_back=target)
    assert target.bodies == list(BODIES.values())
    assert (report.done, report.refused) == (1, {"QueueDown": 1, "StoreDown": 1})
    assert letters.names == ["unreadable", "failed"]


def test_message_that_cannot_be_deleted_is_reported() -> None:
    report = find(Letters(["failed"]), REASONS, Choice(), delete=True)
    assert (report.done, report.refused) == (2, {"NotDeleted": 1})


class Many(Letters):
    """A queue with more messages than the command sends at once."""

    def __init__(self) -> None:
        super().__init__()
        self.names = [f"m{number}" for number in range(3 * AT_ONCE)]

    def batches(self, limit: int | None = None) -> Iterator[list[Any]]:
        attributes = {"SentTimestamp": "1700000000000", "ApproximateReceiveCount": "1"}
        yield [{"MessageId": name, "Body": "{}", "Attributes": attributes} for name in self.names]


@pytest.mark.parametrize(
    ("refused", "tried", "done"),
    [
        ({place: QueueDown() for place in range(AT_ONCE)}, AT_ONCE, 0),  # it is down: the others are left alone
        ({place: QueueDown() for place in range(AT_ONCE - 1)}, 3 * AT_ONCE, 3),
        ({place: NotStored("no") for place in range(AT_ONCE)}, 3 * AT_ONCE, 0),  # each for a reason of its own
    ],
)
def test_a_target_that_is_down_is_sent_no_more(refused: Any, tried: int, done: int) -> None:
    target = Target(Sent(refused))
    report = find(Many(), undelivered, Choice(), put_back=target)
    assert (len(target.bodies), report.done) == (tried, done)
