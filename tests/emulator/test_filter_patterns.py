"""Filter patterns that look into JSON."""

import time

import pytest
from botocore.exceptions import ClientError

from tests.emulator.support import Aws, name

LINES = (
    '{"level": "ERROR", "reason": "StoreDown", "deferred": 3}',
    '{"level": "INFO", "deferred": 0, "error": null}',
    '{"level": "ERROR", "function": {"name": "sync-postgres"}}',
    "START RequestId: ERROR",
)


@pytest.fixture(scope="module")
def group(aws: Aws) -> str:
    logs, group = aws.client("logs"), name("/aws/lambda/group")
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="stream")
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": line} for line in LINES]
    logs.put_log_events(logGroupName=group, logStreamName="stream", logEvents=events)
    return group


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("", {0, 1, 2, 3}),
        ("RequestId", {3}),
        ('{ $.level = "ERROR" }', {0, 2}),
        ('{ $.level != "ERROR" }', {1}),
        ('{ $.reason = "Store*" }', {0}),
        ('{ $.function.name = "sync-*" }', {2}),
        ("{ $.deferred > 0 }", {0}),
        ("{ $.deferred <= 0 }", {1}),
        ('{ $.level = "ERROR" && $.deferred = 3 || $.deferred = 0 }', {0, 1}),
        ('{ $.level = "ERROR" && ($.deferred = 3 || $.deferred = 0) }', {0}),
        ("{ $.error IS NULL }", {1}),
        ("{ $.error NOT EXISTS }", {0, 2}),
    ],
)
def test_a_pattern_matches_as_aws_documents(aws: Aws, group: str, pattern: str, matched: set[int]) -> None:
    answer = aws.client("logs").filter_log_events(logGroupName=group, filterPattern=pattern)
    assert {LINES.index(event["message"]) for event in answer["events"]} == matched


@pytest.mark.parametrize(
    "pattern",
    ['{ $.level = "ERROR"', "{ level = 1 }", '{ $.level > "a" }', "{ $.a = }", "{ ($.a = 1 }", "{ $.a = 1 1 }"],
)
def test_a_pattern_that_cannot_be_read_is_refused(aws: Aws, group: str, pattern: str) -> None:
    with pytest.raises(ClientError, match="InvalidParameterException"):
        aws.client("logs").filter_log_events(logGroupName=group, filterPattern=pattern)
