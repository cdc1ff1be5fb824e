import json
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from .support import ACCOUNT, Aws, name

pytestmark = pytest.mark.emulator


def test_source_is_pending_until_a_bus_is_associated(aws: Aws) -> None:
    source = f"aws.partner/auth0.com/{name('tenant')}/auth0.logs"
    aws.events.create_partner_event_source(Name=source, Account=ACCOUNT)

    (listed,) = aws.events.list_event_sources(NamePrefix=source)["EventSources"]
    assert (listed["Name"], listed["State"], listed["CreatedBy"]) == (source, "PENDING", "aws.partner/auth0.com")

    arn = aws.events.create_event_bus(Name=source, EventSourceName=source)["EventBusArn"]
    assert arn.endswith(f":event-bus/{source}")
    assert aws.events.describe_event_source(Name=source)["State"] == "ACTIVE"
    aws.events.delete_event_bus(Name=source)
    assert aws.events.describe_event_source(Name=source)["State"] == "PENDING"


def test_sources_are_listed_in_pages(aws: Aws) -> None:
    prefix = f"aws.partner/{name('saas')}.com/"
    for number in range(3):
        aws.events.create_partner_event_source(Name=f"{prefix}{number}", Account=ACCOUNT)
    first = aws.events.list_event_sources(NamePrefix=prefix, Limit=2)
    second = aws.events.list_event_sources(NamePrefix=prefix, Limit=2, NextToken=first["NextToken"])
    assert [source["Name"][-1] for source in first["EventSources"] + second["EventSources"]] == ["0", "1", "2"]
    assert "NextToken" not in second


@pytest.mark.parametrize(
    ("bus", "source", "code"),
    [
        ("aws.partner/example.com/none", "aws.partner/example.com/none", "ResourceNotFoundException"),
        ("other", "aws.partner/example.com/none", "ValidationException"),
        ("aws.partner/example.com/none", None, "ValidationException"),
    ],
)
def test_bus_needs_a_source_of_its_name(aws: Aws, bus: str, source: str | None, code: str) -> None:
    association = {"EventSourceName": source} if source else {}
    with pytest.raises(ClientError, match=code):
        aws.events.create_event_bus(Name=bus, **association)


def test_describing_an_unknown_source_fails(aws: Aws) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        aws.events.describe_event_source(Name="aws.partner/example.com/none")


def test_partner_event_reaches_the_bus_of_its_source(aws: Aws) -> None:
    source, (url, arn) = aws.partner_bus(), aws.queue()
    aws.rule(source, {"Arn": arn}, {"source": [source], "detail": {"data": {"type": ["sapi"]}}})
    moment = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)

    aws.put(source, '{"data":{"type":"s"}}')
    answer = aws.put(source, '{"data":{"type":"sapi"}}', Time=moment, Resources=["arn:one"])

    (message,) = aws.messages(url)
    assert json.loads(message["Body"]) == {
        "version": "0",
        "id": answer["EventId"],
        "detail-type": "Auth0 log",
        "source": source,
        "account": ACCOUNT,
        "time": "2026-01-02T03:04:05Z",
        "region": "us-east-1",
        "resources": ["arn:one"],
        "detail": {"data": {"type": "sapi"}},
    }


def test_events_of_a_pending_source_are_accepted_and_dropped(aws: Aws) -> None:
    source = f"aws.partner/auth0.com/{name('tenant')}/auth0.logs"
    aws.events.create_partner_event_source(Name=source, Account=ACCOUNT)
    assert aws.put(source, "{}")["EventId"]
    aws.events.create_event_bus(Name=source, EventSourceName=source)
    url, arn = aws.queue()
    aws.rule(source, {"Arn": arn})
    aws.put(source, '{"after":1}')
    (message,) = aws.messages(url)
    assert json.loads(message["Body"])["detail"] == {"after": 1}


def test_malformed_entry_fails_alone(aws: Aws) -> None:
    source = aws.partner_bus()
    entry = {"Source": source, "DetailType": "Auth0 log"}
    details = ["{}", "not json", "[1]", '{"a":NaN}', ""]
    answer = aws.events.put_partner_events(Entries=[{**entry, "Detail": detail} for detail in details])
    assert answer["FailedEntryCount"] == 4
    codes = [result.get("ErrorCode") for result in answer["Entries"]]
    assert codes == [None, "MalformedDetail", "MalformedDetail", "MalformedDetail", "InvalidArgument"]


def test_at_most_twenty_entries(aws: Aws) -> None:
    entries = [{"Source": "aws.partner/example.com/none", "DetailType": "x", "Detail": "{}"}] * 21
    with pytest.raises(ClientError, match="ValidationException"):
        aws.events.put_partner_events(Entries=entries)
