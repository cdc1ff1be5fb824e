"""The smoke test of a deployment on the emulator: it passes where all is well, and finds what is broken."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from devstack.stack import Stack
from pipeline import doctor
from pipeline.doctor import Deployed, Finding, archive, queues, rules
from pipeline.doctor.synthetic import USER
from pipeline.progress import Quiet
from tests.emulator.support import name, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.emulator, pytest.mark.postgres]


def deployment(running: Stack, outputs: dict[str, Any] | None = None, seconds: float = 60) -> Deployed:
    outputs = running.outputs | (outputs or {})
    return Deployed("local", outputs, lambda service, _region: running.client(service), seconds)


@pytest.fixture
def deployed(running: Stack) -> Deployed:
    return deployment(running)


@pytest.fixture(scope="module", autouse=True)
def healthy(running: Stack) -> Iterator[None]:
    """Begin without the failed messages of other tests, and leave these no user of the smoke test."""
    for output in ("dlq_urls", "target_dlq_urls"):
        for url in running.outputs[output].values():
            running.client("sqs").purge_queue(QueueUrl=url)
    yield
    with psycopg.connect(running.database_url) as connection:
        connection.execute("DELETE FROM auth0.user_rows WHERE user_id = %s", [USER])
    key = {"user_id": {"S": USER}}
    running.client("dynamodb").delete_item(TableName=running.outputs["users_table"], Key=key)


def run(deployed: Deployed) -> list[Finding]:
    return doctor.run(doctor.CHECKS, deployed, Quiet())


def bad(findings: list[Finding]) -> list[str]:
    return [f"{finding.title}: {finding.detail}" for finding in findings if finding.verdict == "bad"]


def test_where_all_is_well_it_says_so(running: Stack, deployed: Deployed) -> None:
    checks = run(deployed)
    assert bad(checks) == []
    verdicts = {check.title: check.verdict for check in checks}
    for store in ("Postgres", "DynamoDB"):
        assert verdicts[f"Sync to {store}: creation"] == verdicts[f"Sync to {store}: deletion"] == "ok"
    assert {
        "Event source of the Log Stream",
        "Delivery stream",
        "Athena's views",
        "Dead-letter queues",
    } <= verdicts.keys()

    with psycopg.connect(running.database_url) as connection:
        row = connection.execute("SELECT deleted_at, profile FROM auth0.users WHERE user_id = %s", [USER]).fetchone()
        live = connection.execute("SELECT 1 FROM auth0.live_users WHERE user_id = %s", [USER]).fetchone()
    assert row is not None
    assert row[0] is not None
    assert row[1] == {}
    assert live is None


def test_again_it_works_the_same(deployed: Deployed) -> None:
    assert bad(run(deployed)) == []


def test_a_rule_that_is_off_is_found(running: Stack, deployed: Deployed) -> None:
    events, bus = running.client("events"), running.outputs["bus_names"]["log-stream"]
    name = running.outputs["rule_names"]["user-changes"]["log-stream"]
    events.disable_rule(Name=name, EventBusName=bus)
    found = bad(rules.check(deployed))
    events.enable_rule(Name=name, EventBusName=bus)
    assert found == ["Rule user-changes, Log Stream: it is DISABLED"]


def test_a_target_that_is_gone_is_found(running: Stack, deployed: Deployed) -> None:
    events, bus = running.client("events"), running.outputs["bus_names"]["log-stream"]
    name = running.outputs["rule_names"]["user-changes"]["log-stream"]
    targets = events.list_targets_by_rule(Rule=name, EventBusName=bus)["Targets"]
    queue = running.outputs["queue_urls"]["dynamodb"].rpartition("/")[2]
    [target] = [target for target in targets if target["Arn"].endswith(f":{queue}")]
    events.remove_targets(Rule=name, EventBusName=bus, Ids=[target["Id"]])
    found = bad(rules.check(deployed))
    events.put_targets(Rule=name, EventBusName=bus, Targets=[target])
    assert found == [f"Rule user-changes, Log Stream: {queue} is not its target"]


def test_a_pattern_that_was_changed_is_found(running: Stack, deployed: Deployed) -> None:
    events, bus = running.client("events"), running.outputs["bus_names"]["log-stream"]
    name = running.outputs["rule_names"]["user-changes"]["log-stream"]
    rule = events.describe_rule(Name=name, EventBusName=bus)
    other = json.dumps({"source": [{"prefix": "aws.partner/auth0.com/"}], "detail": {"data": {"type": ["s"]}}})
    events.put_rule(Name=name, EventBusName=bus, EventPattern=other)
    found = bad(rules.check(deployed))
    events.put_rule(Name=name, EventBusName=bus, EventPattern=rule["EventPattern"], Description=rule["Description"])
    assert found == ["Rule user-changes, Log Stream: it does not take a user's creation; it takes a login"]


def test_a_message_that_was_given_up_is_found(running: Stack, deployed: Deployed) -> None:
    sqs, queue = running.client("sqs"), running.outputs["dlq_urls"]["dynamodb"]
    sqs.send_message(QueueUrl=queue, MessageBody="{}")
    found = bad(queues.check(deployed))
    [message] = sqs.receive_message(QueueUrl=queue)["Messages"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert found == ["Dead-letter queues: failed: dynamodb holds 1"]


COUNTS = {
    "nothing yet": ({}, "unknown", "none counted in the last hour"),
    "all of it": ({"MatchedEvents": 40, "IncomingRecords": 40}, "ok", "of 40 events that its rules matched"),
    "a repair sent more": ({"MatchedEvents": 40, "IncomingRecords": 90}, "ok", "took 90"),
    "a count that is not complete": ({"MatchedEvents": 40, "IncomingRecords": 37}, "ok", "took 37"),
    "nothing arrives": ({"MatchedEvents": 1}, "bad", "took 0"),
    "some do not arrive": ({"MatchedEvents": 40, "IncomingRecords": 20}, "bad", "took 20"),
    "some are given up": (
        {"MatchedEvents": 40, "FailedInvocations": 2, "IncomingRecords": 38}, "bad", "EventBridge gave up 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", COUNTS)
def test_matched_and_archived_events_are_compared(running: Stack, case: str) -> None:
    counts, verdict, words = COUNTS[case]
    rule, firehose = name("rule"), name("firehose")
    outputs: dict[str, Any] = {"rule_names": {"archive": {"log-stream": rule}}, "firehose_name": firehose}
    bus = running.outputs["bus_names"]["log-stream"]
    dimensions = {
        "AWS/Events": [{"Name": "EventBusName", "Value": bus}, {"Name": "RuleName", "Value": rule}],
        "AWS/Firehose": [{"Name": "DeliveryStreamName", "Value": firehose}],
    }
    cloudwatch, now = running.client("cloudwatch"), datetime.now(UTC)
    for metric, value in counts.items():
        namespace = "AWS/Firehose" if metric == "IncomingRecords" else "AWS/Events"
        data = {"MetricName": metric, "Dimensions": dimensions[namespace], "Value": value}
        times = [now - timedelta(minutes=30), now - timedelta(hours=2)]  # the second is too old
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=[data | {"Timestamp": time} for time in times])
    found = archive.counted(deployment(running, outputs))
    assert (found.title, found.verdict) == ("Events to the archive", verdict)
    assert words in found.detail


def test_young_event_is_not_missed_yet(running: Stack) -> None:
    rule, firehose = name("rule"), name("firehose")
    outputs: dict[str, Any] = {"rule_names": {"archive": {"log-stream": rule}}, "firehose_name": firehose}
    bus = running.outputs["bus_names"]["log-stream"]
    dimensions = [{"Name": "EventBusName", "Value": bus}, {"Name": "RuleName", "Value": rule}]
    data = {"MetricName": "MatchedEvents", "Dimensions": dimensions, "Value": 5, "Timestamp": datetime.now(UTC)}
    running.client("cloudwatch").put_metric_data(Namespace="AWS/Events", MetricData=[data])
    found = archive.counted(deployment(running, outputs))
    assert found.verdict == "unknown"


def test_a_store_without_its_table_is_found(running: Stack) -> None:
    with psycopg.connect(running.database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE auth0.user_rows RENAME TO elsewhere")
        found = [check for check in run(deployment(running, seconds=4)) if check.title.startswith("Sync")]
        connection.execute("ALTER TABLE auth0.elsewhere RENAME TO user_rows")
    postgres = [check for check in found if "Postgres" in check.title]
    assert [check.title for check in postgres] == ["Sync to Postgres: creation"]
    assert "not stored 4 s after it was put into the queue; the function says: " in postgres[0].detail
    assert "UndefinedTable" in postgres[0].detail
    assert postgres[0].advice == "Look: auth0-sync logs sync-postgres --env local"
    assert [check.verdict for check in found if "DynamoDB" in check.title] == ["ok", "ok"]
    wait_for(lambda: not _waiting(running), 60)  # it is delivered again, and stored


def test_paused_sync_is_reported(running: Stack, deployed: Deployed) -> None:
    lambda_, mapping = running.client("lambda"), running.outputs["event_source_mapping_ids"]["dynamodb"]
    lambda_.update_event_source_mapping(UUID=mapping, Enabled=False)
    found = run(deployed)
    lambda_.update_event_source_mapping(UUID=mapping, Enabled=True)
    assert bad(found) == []
    [paused] = [check for check in found if check.title == "Sync to DynamoDB"]
    assert paused.verdict == "unknown"
    assert "paused" in paused.detail


def test_event_that_the_archive_refuses_is_found(running: Stack, deployed: Deployed) -> None:
    """Runs last: EventBridge's count of failed deliveries makes later smoke tests fail for an hour."""
    iam, stream = running.client("iam"), running.outputs["firehose_name"]
    role, policy = f"{stream}-events", "firehose"
    document = json.dumps(iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"])
    iam.delete_role_policy(RoleName=role, PolicyName=policy)
    entry = {"Source": running.outputs["event_sources"]["log-stream"], "DetailType": "Auth0 log", "Detail": "{}"}
    running.client("events").put_partner_events(Entries=[entry])
    found = bad(queues.check(deployed))
    iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=document)
    sqs, queue = running.client("sqs"), running.outputs["target_dlq_urls"]["archive"]
    [message] = sqs.receive_message(QueueUrl=queue)["Messages"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert found == ["Dead-letter queues: undelivered: archive holds 1"]


def _waiting(running: Stack) -> int:
    names = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible")]
    queue = running.outputs["queue_urls"]["postgres"]
    held = running.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(int(held[name]) for name in names)
