"""Moves of messages out of a dead-letter queue, as SQS does them."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .support import Aws, allow, wait_for

pytestmark = pytest.mark.emulator

READING = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]


class Pair:
    """A queue and its dead-letter queue, with messages that fell into it."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.dead, self.dead_arn = aws.queue()
        redrive = json.dumps({"deadLetterTargetArn": self.dead_arn, "maxReceiveCount": 1})
        self.url, self.arn = aws.queue(VisibilityTimeout="0", RedrivePolicy=redrive)

    def fall(self, *bodies: str) -> None:
        for body in bodies:
            self.aws.sqs.send_message(QueueUrl=self.url, MessageBody=body)
        for _ in range(2):
            while "Messages" in self.aws.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10):
                pass
        assert self.waiting(self.dead) == len(bodies)

    def waiting(self, url: str) -> int:
        names = ["ApproximateNumberOfMessages"]
        attributes = self.aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"])

    def start(self, **parameters: Any) -> str:
        handle: str = self.aws.sqs.start_message_move_task(SourceArn=self.dead_arn, **parameters)["TaskHandle"]
        return handle

    def task(self) -> dict[str, Any]:
        [task] = self.aws.sqs.list_message_move_tasks(SourceArn=self.dead_arn)["Results"]
        found: dict[str, Any] = task
        return found

    def ended(self) -> dict[str, Any]:
        ended: dict[str, Any] = wait_for(lambda: (task := self.task())["Status"] != "RUNNING" and task)
        return ended


@pytest.fixture
def pair(aws: Aws) -> Pair:
    return Pair(aws)


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    found: str = error.value.response["Error"]["Code"]
    return found


def test_messages_go_back_to_the_queue_they_came_from_as_new_ones(pair: Pair) -> None:
    pair.fall("one", "two")
    sqs = pair.aws.sqs
    before = sqs.receive_message(QueueUrl=pair.dead, VisibilityTimeout=0, MaxNumberOfMessages=10)["Messages"]
    pair.start()
    task = pair.ended()
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 2)
    assert task["ApproximateNumberOfMessagesToMove"] == 2
    assert task.keys() & {"TaskHandle", "DestinationArn", "MaxNumberOfMessagesPerSecond", "FailureReason"} == set()
    assert (pair.waiting(pair.dead), pair.waiting(pair.url)) == (0, 2)
    [back] = sqs.receive_message(QueueUrl=pair.url, AttributeNames=["All"])["Messages"]
    assert back["Attributes"]["ApproximateReceiveCount"] == "1"
    assert "DeadLetterQueueSourceArn" not in back["Attributes"]
    assert back["MessageId"] not in [message["MessageId"] for message in before]


def test_messages_go_to_a_destination(pair: Pair) -> None:
    other, arn = pair.aws.queue()
    pair.fall("one")
    pair.start(DestinationArn=arn)
    assert pair.ended()["DestinationArn"] == arn
    assert (pair.waiting(pair.url), pair.waiting(other)) == (0, 1)


def test_a_task_has_its_rate_and_is_cancelled_and_no_other_starts_beside_it(pair: Pair) -> None:
    pair.fall(*[str(number) for number in range(9)])
    handle = pair.start(MaxNumberOfMessagesPerSecond=1)
    task = pair.task()
    assert (task["Status"], task["TaskHandle"]) == ("RUNNING", handle)
    with pytest.raises(ClientError, match="There is already a task running") as error:
        pair.start()
    assert code(error) == "InvalidParameterValue"
    moved = pair.aws.sqs.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"]
    assert moved <= 2
    assert pair.task()["Status"] == "CANCELLED"
    assert pair.waiting(pair.dead) == 9 - moved
    with pytest.raises(ClientError, match="Task does not exist") as error:
        pair.aws.sqs.cancel_message_move_task(TaskHandle=handle)
    assert code(error) == "ResourceNotFoundException"
    pair.start()  # the queue is free again
    assert pair.ended()["ApproximateNumberOfMessagesMoved"] == 9 - moved
    tasks = pair.aws.sqs.list_message_move_tasks(SourceArn=pair.dead_arn, MaxResults=10)["Results"]
    assert [one["Status"] for one in tasks] == ["COMPLETED", "CANCELLED"]


def test_a_message_that_was_sent_to_the_dead_letter_queue_has_no_way_back(pair: Pair) -> None:
    pair.aws.sqs.send_message(QueueUrl=pair.dead, MessageBody="of EventBridge")
    pair.start()
    task = pair.ended()
    assert (task["Status"], task["FailureReason"]) == ("FAILED", "CouldNotDetermineMessageSource")
    assert pair.waiting(pair.dead) == 1


def test_a_destination_that_is_deleted_fails_the_task(pair: Pair) -> None:
    other, arn = pair.aws.queue()
    pair.fall("one", "two", "three")
    pair.start(DestinationArn=arn, MaxNumberOfMessagesPerSecond=2)
    pair.aws.sqs.delete_queue(QueueUrl=other)
    assert pair.ended()["FailureReason"] == "AWS.SimpleQueueService.NonExistentQueue"


def test_requests_that_aws_refuses(pair: Pair) -> None:
    sqs, nowhere = pair.aws.sqs, pair.arn.replace(pair.arn.rpartition(":")[2], "nowhere")
    with pytest.raises(ClientError, match="must be configured as a Dead Letter Queue") as error:
        sqs.start_message_move_task(SourceArn=pair.arn)
    assert code(error) == "InvalidParameterValue"
    for parameters in ({"SourceArn": nowhere}, {"SourceArn": pair.dead_arn, "DestinationArn": nowhere}):
        with pytest.raises(ClientError, match="doesn't exist") as error:
            sqs.start_message_move_task(**parameters)
        assert code(error) == "ResourceNotFoundException"
    for rate in (0, 501):
        with pytest.raises(ClientError, match="between 1 and 500"):
            pair.start(MaxNumberOfMessagesPerSecond=rate)
    with pytest.raises(ClientError, match="TaskHandle is invalid"):
        sqs.cancel_message_move_task(TaskHandle="?")
    assert sqs.list_message_move_tasks(SourceArn=pair.dead_arn).get("Results", []) == []


@pytest.mark.parametrize("lacking", ["", "sqs:StartMessageMoveTask", "sqs:DeleteMessage", "sqs:SendMessage"])
def test_the_caller_may_read_the_one_queue_and_send_to_the_other(pair: Pair, lacking: str) -> None:
    pair.fall("one")
    reading = [action for action in ("sqs:StartMessageMoveTask", *READING) if action != lacking]
    sending = [action for action in ("sqs:SendMessage",) if action != lacking] or ["sqs:GetQueueUrl"]
    operator = pair.aws.user(allow(reading, pair.dead_arn), allow(sending, pair.arn)).client("sqs")
    if not lacking:
        operator.start_message_move_task(SourceArn=pair.dead_arn)
        assert pair.ended()["Status"] == "COMPLETED"
        return
    with pytest.raises(ClientError, match=f"(?i){lacking}") as error:
        operator.start_message_move_task(SourceArn=pair.dead_arn)
    assert code(error) == "AccessDenied"
    assert pair.waiting(pair.dead) == 1
