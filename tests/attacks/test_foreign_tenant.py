"""Another Auth0 tenant, whose owner points a stream at the company's AWS account."""

import json
from functools import partial

import pytest

from devstack.demo import SINKS
from tests.stack.test_sources import row, until
from tests.strategies import updated, user

from .actors import Target

pytestmark = [pytest.mark.stack, pytest.mark.emulator, pytest.mark.postgres]

FOREIGN = "aws.partner/auth0.com/attacker-8b47abb4-0c52-4a5f-9a26-demo00000000/auth0.logs"


def test_rules_match_the_deployments_own_sources_alone(target: Target) -> None:
    events = target.stack.client("events")
    own = set(target.output("event_sources").values())
    buses = set(target.output("bus_names").values())
    rules = [rule for bus in buses for rule in events.list_rules(EventBusName=bus)["Rules"]]
    patterns = [json.loads(rule["EventPattern"]) for rule in rules if "EventPattern" in rule]
    assert patterns
    for pattern in patterns:
        assert set(pattern["source"]) <= own


def test_event_of_another_tenant_is_dead_lettered(target: Target) -> None:
    """Somebody with the rights of an operator puts it into the queues themselves."""
    sqs = target.stack.client("sqs")

    def sent(sink: str) -> str:
        body = json.dumps(updated(user(f"auth0|foreign-{sink}")) | {"source": FOREIGN})
        return str(sqs.send_message(QueueUrl=target.output("queue_urls")[sink], MessageBody=body)["MessageId"])

    def failed(sink: str) -> bool:
        answer = sqs.receive_message(
            QueueUrl=target.output("dlq_urls")[sink], MaxNumberOfMessages=10, VisibilityTimeout=1, WaitTimeSeconds=1
        )
        return any(message["MessageId"] == messages[sink] for message in answer.get("Messages", []))

    messages = {sink: sent(sink) for sink in SINKS}  # at once, as each waits for its tries
    for sink in SINKS:
        until(partial(failed, sink))
        assert row(target.stack, f"auth0|foreign-{sink}") is None
