"""Events from one region to another, as the rules and sources of each see them."""

import gzip
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .support import ACCOUNT, Aws, allow, name, policy, wait_for

pytestmark = pytest.mark.emulator

SOURCE_REGION = "eu-west-1"


@pytest.fixture
def there(aws: Aws) -> Aws:
    """The emulator in the region of the source."""
    return Aws(aws.emulator, SOURCE_REGION)


def role(aws: Aws, bus_arn: str) -> str:
    """A role that may put events on the bus."""
    return aws.role("events.amazonaws.com", allow("events:PutEvents", bus_arn))


def bus_for(aws: Aws, bus: str) -> str:
    """The ARN of a new bus that takes events of the account, of whatever region."""
    arn: str = aws.events.create_event_bus(Name=bus)["EventBusArn"]
    account = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    aws.events.put_permission(EventBusName=bus, Policy=policy(allow("events:PutEvents", arn, Principal=account)))
    return arn


def relayed(aws: Aws, there: Aws) -> tuple[str, str]:
    """A partner bus in the source's region whose events go to a bus here; the names of both."""
    source, bus = there.partner_bus(), name("bus")
    arn = bus_for(aws, bus)
    there.rule(source, {"Arn": arn, "RoleArn": role(aws, arn)})
    return source, bus


def test_event_reaches_a_bus_in_another_region_as_it_was(aws: Aws, there: Aws) -> None:
    source, bus = relayed(aws, there)
    (url, arn), (archived, archive) = aws.queue(), aws.queue()
    aws.rule(bus, {"Arn": arn}, {"source": [source]})
    aws.rule(bus, {"Arn": archive}, {"source": ["another"]})
    answer = there.put(source, '{"n":1e400}')

    (message,) = aws.messages(url)
    event = json.loads(message["Body"])
    assert event["id"] == answer["EventId"]
    assert (event["source"], event["region"], event["account"]) == (source, SOURCE_REGION, ACCOUNT)
    assert message["Body"].endswith('"detail":{"n":1e400}}')
    assert "Messages" not in aws.sqs.receive_message(QueueUrl=archived)


def test_rules_of_the_other_region_may_be_called_the_same(aws: Aws, there: Aws) -> None:
    here, other = name("bus"), name("bus")
    arn = bus_for(aws, here)
    there.events.create_event_bus(Name=here)
    url, queue = aws.queue()
    pattern = json.dumps({"source": ["app"]})
    for events, target in ((there.events, {"Arn": arn, "RoleArn": role(aws, arn)}), (aws.events, {"Arn": queue})):
        events.put_rule(Name=other, EventBusName=here, EventPattern=pattern)
        events.put_targets(Rule=other, EventBusName=here, Targets=[{"Id": "1", **target}])
    entry = {"EventBusName": here, "Source": "app", "DetailType": "test", "Detail": "{}"}
    there.events.put_events(Entries=[entry])
    assert len(aws.messages(url)) == 1


def test_firehose_of_the_other_region_gets_it(aws: Aws, there: Aws) -> None:
    source, bus = relayed(aws, there)
    bucket, stream = aws.bucket(), name("stream")
    arn = aws.firehose.create_delivery_stream(
        DeliveryStreamName=stream,
        ExtendedS3DestinationConfiguration={
            "RoleARN": "arn:aws:iam::000000000000:role/firehose",
            "BucketARN": f"arn:aws:s3:::{bucket}",
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 1},
            "CompressionFormat": "GZIP",
        },
    )["DeliveryStreamARN"]
    aws.rule(bus, {"Arn": arn, "RoleArn": aws.role("events.amazonaws.com", allow("firehose:PutRecord", arn))})
    there.put(source, "{}")
    (key,) = wait_for(lambda: aws.keys(bucket))
    body = gzip.decompress(aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read()).decode()
    assert json.loads(body)["source"] == source


@pytest.mark.parametrize("problem", ["no bus", "role of another bus"])
def test_event_that_the_relay_cannot_deliver_is_dead_lettered(aws: Aws, there: Aws, problem: str) -> None:
    source, bus = there.partner_bus(), name("bus")
    arn = bus_for(aws, bus)
    allowed = role(aws, arn if problem == "no bus" else f"{arn}-2")
    url, queue = there.queue()
    there.rule(source, {"Arn": arn, "RoleArn": allowed, "DeadLetterConfig": {"Arn": queue}})
    if problem == "no bus":
        aws.events.delete_event_bus(Name=bus)
    there.put(source, "{}")
    (message,) = there.messages(url)
    code = message["MessageAttributes"]["ERROR_CODE"]["StringValue"]
    assert code == ("NO_RESOURCE" if problem == "no bus" else "NO_PERMISSIONS")


NOT_ENOUGH: dict[str, dict[str, Any]] = {
    "no policy": {},
    "another account": {"Principal": {"AWS": "arn:aws:iam::111111111111:root"}},
    "another bus": {"Resource": f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/another"},
    "one rule": {"Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:events:{SOURCE_REGION}:{ACCOUNT}:rule/a"}}},
}


@pytest.mark.parametrize("given", NOT_ENOUGH)
def test_a_bus_that_does_not_let_the_account_put_events_is_no_target(aws: Aws, there: Aws, given: str) -> None:
    source, bus = there.partner_bus(), name("bus")
    arn = aws.events.create_event_bus(Name=bus)["EventBusArn"]
    if NOT_ENOUGH[given]:
        account = {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
        statement = allow("events:PutEvents", arn, **account) | NOT_ENOUGH[given]
        aws.events.put_permission(EventBusName=bus, Policy=policy(statement))
    with pytest.raises(ClientError, match="AccessDeniedException"):
        there.rule(source, {"Arn": arn, "RoleArn": role(aws, arn)})


def test_a_bus_of_the_same_region_needs_no_policy(aws: Aws) -> None:
    arn = aws.events.create_event_bus(Name=name("bus"))["EventBusArn"]
    aws.rule(aws.partner_bus(), {"Arn": arn, "RoleArn": role(aws, arn)})


def test_events_do_not_go_round_in_circles(aws: Aws, there: Aws) -> None:
    bus = name("bus")
    here, far = (bus_for(place, bus) for place in (aws, there))
    url, queue = there.queue()
    there.rule(bus, {"Arn": here, "RoleArn": role(aws, here), "DeadLetterConfig": {"Arn": queue}})
    aws.rule(bus, {"Arn": far, "RoleArn": role(aws, far)})
    there.events.put_events(Entries=[{"EventBusName": bus, "Source": "app", "DetailType": "test", "Detail": "{}"}])
    assert len(there.messages(url)) == 1


def test_source_is_in_the_region_where_it_was_created_only(aws: Aws, there: Aws) -> None:
    source = f"aws.partner/auth0.com/{name('tenant')}/auth0.logs"
    there.events.create_partner_event_source(Name=source, Account=ACCOUNT)
    assert [found["Name"] for found in there.events.list_event_sources(NamePrefix=source)["EventSources"]] == [source]
    assert aws.events.list_event_sources(NamePrefix=source)["EventSources"] == []
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        aws.events.create_event_bus(Name=source, EventSourceName=source)
    there.events.create_event_bus(Name=source, EventSourceName=source)
    url, arn = there.queue()
    there.rule(source, {"Arn": arn})
    aws.put(source, '{"where":"here"}')
    there.put(source, '{"where":"there"}')
    (message,) = there.messages(url)
    assert json.loads(message["Body"])["detail"] == {"where": "there"}
