"""Each consumer gets its events; several targets are one."""

from collections.abc import Sequence
from typing import Any

import pytest

from pipeline.changes import read
from pipeline.delivery import Sent
from pipeline.delivery.consumers import Consumer
from pipeline.delivery.errors import QueueDown, QueueRefused
from pipeline.delivery.targets import Each, Only, open_queue
from tests.refresh.support import Functions, Sqs
from tests.strategies import deleted, log, text, updated, user

CHANGE, DELETION = text(updated(user("auth0|ada"))), text(deleted("auth0|ada"))
SIGNAL, OTHER = text(log("scp", user_id="auth0|ada")), text(log("fp"))
LOGINS = [text(log(kind, user_id="auth0|ada")) for kind in ("s", "sepft")]


@pytest.mark.parametrize(
    ("consumer", "wanted"),
    [
        (Consumer.POSTGRES, [CHANGE, DELETION]),
        (Consumer.DYNAMODB, [CHANGE, DELETION]),
        (Consumer.REFRESH, [SIGNAL]),
    ],
)
def test_consumer_wants_its_own_events(consumer: Consumer, wanted: list[str]) -> None:
    events = [CHANGE, DELETION, SIGNAL, *LOGINS, OTHER]
    assert [event for event in events if consumer.wants(read(event))] == wanted
    assert [event for event in events if consumer.wants(read(event), "auth0|ada")] == wanted
    assert not any(consumer.wants(read(event), "auth0|other") for event in events)


class Deployed(Sqs):
    """The queue of Postgres, which takes messages of up to 1,000 bytes."""

    def get_queue_url(self, QueueName: str) -> Any:  # noqa: N803 - boto3's name
        assert QueueName == "auth0-sync-prod-postgres"
        return {"QueueUrl": "queue"}

    def get_queue_attributes(self, **_: Any) -> Any:
        return {"Attributes": {"MaximumMessageSize": "1000"}}


def test_queue_is_opened_with_its_limit_and_its_function() -> None:
    sqs: Any = Deployed()
    functions: Any = Functions()
    target = open_queue(sqs, functions, "auth0-sync-prod", Consumer.POSTGRES)
    assert target.send(["small", "x" * 1001]) == Sent({}, frozenset({1}))
    assert sqs.bodies("queue") == ["small"]
    assert functions.bodies == {"auth0-sync-prod-sync-postgres": ["x" * 1001]}


class Refusing:
    """A target that takes all bodies but one, and keeps what it is sent."""

    def __init__(self, sent: Sent) -> None:
        self.sent, self.bodies = sent, list[str]()

    def send(self, bodies: Sequence[str]) -> Sent:
        self.bodies += bodies
        return self.sent


def test_body_that_one_of_several_targets_refuses_has_failed() -> None:
    down, refused = QueueDown(), QueueRefused()
    targets = [Refusing(Sent({1: down})), Refusing(Sent({}, frozenset({0}))), Refusing(Sent({2: refused}))]
    assert Each(targets).send(["a", "b", "c"]) == Sent({1: down, 2: refused}, frozenset({0}))
    assert [target.bodies for target in targets] == [["a", "b", "c"]] * 3


def test_filtered_target_gets_only_matching_bodies() -> None:
    down = QueueDown()
    target = Refusing(Sent({1: down}, frozenset({0})))
    assert Only(lambda body: body != "a", target).send(["a", "b", "c"]) == Sent({2: down}, frozenset({1}))
    assert target.bodies == ["b", "c"]
