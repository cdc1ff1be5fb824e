from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from pipeline.auth0.errors import QueueDown, QueueRefused
from pipeline.auth0.queues import BATCH_BYTES, Message, batches, send

from .support import Sqs

URL = "https://sqs.us-east-1.amazonaws.com/000000000000/queue"


@pytest.fixture
def sqs() -> Iterator[tuple[Any, Stubber]]:
    client = boto3.client("sqs", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    with Stubber(client) as stubber:
        yield client, stubber
        stubber.assert_no_pending_responses()
    client.close()


def request(*entries: tuple[int, str, int]) -> dict[str, Any]:
    listed = [{"Id": str(id_), "MessageBody": body, "DelaySeconds": delay} for id_, body, delay in entries]
    return {"QueueUrl": URL, "Entries": listed}


def answer(*taken: int, failed: dict[int, tuple[str, bool]] | None = None) -> dict[str, Any]:
    return {
        "Successful": [{"Id": str(id_), "MessageId": "m", "MD5OfMessageBody": "x"} for id_ in taken],
        "Failed": [
            {"Id": str(id_), "Code": code, "SenderFault": fault} for id_, (code, fault) in (failed or {}).items()
        ],
    }


def test_what_a_queue_did_not_take_is_sent_again_and_nothing_else(sqs: tuple[Any, Stubber]) -> None:
    client, stubber = sqs
    busy = {1: ("InternalError", False)}
    stubber.add_response("send_message_batch", answer(0, failed=busy), request((0, "a", 0), (1, "b", 30)))
    stubber.add_response("send_message_batch", answer(1), request((1, "b", 30)))
    pauses: list[float] = []
    assert send(client, URL, [Message("a"), Message("b", 30)], pauses.append) == {}
    assert pauses == [0.2]


def test_a_queue_that_keeps_failing_is_down_after_three_attempts(sqs: tuple[Any, Stubber]) -> None:
    client, stubber = sqs
    for _ in range(3):
        stubber.add_response("send_message_batch", answer(failed={0: ("InternalError", False)}), request((0, "a", 0)))
    (failure,) = send(client, URL, [Message("a")], lambda seconds: None).values()
    assert isinstance(failure, QueueDown)
    assert "InternalError" in str(failure)


def test_what_a_queue_refuses_is_not_sent_again(sqs: tuple[Any, Stubber]) -> None:
    client, stubber = sqs
    large = {0: ("InvalidParameterValue", True)}
    stubber.add_response("send_message_batch", answer(1, failed=large), request((0, "a", 0), (1, "b", 0)))
    failed = send(client, URL, [Message("a"), Message("b")], lambda seconds: None)
    assert [(position, type(error)) for position, error in failed.items()] == [(0, QueueRefused)]


def test_a_batch_that_is_refused_whole_costs_only_the_message_that_is_to_blame(sqs: tuple[Any, Stubber]) -> None:
    client, stubber = sqs
    code = "AWS.SimpleQueueService.BatchRequestTooLong"
    stubber.add_client_error("send_message_batch", code, expected_params=request((0, "a", 0), (1, "b", 0)))
    stubber.add_client_error("send_message_batch", code, expected_params=request((0, "a", 0)))
    stubber.add_response("send_message_batch", answer(1), request((1, "b", 0)))
    failed = send(client, URL, [Message("a"), Message("b")], lambda seconds: None)
    assert [(position, type(error)) for position, error in failed.items()] == [(0, QueueRefused)]


def test_a_missing_right_is_to_be_retried(sqs: tuple[Any, Stubber]) -> None:
    client, stubber = sqs
    for _ in range(3):
        stubber.add_client_error("send_message_batch", "AccessDenied")
    (failure,) = send(client, URL, [Message("a")], lambda seconds: None).values()
    assert isinstance(failure, QueueDown)
    assert "AccessDenied" in str(failure)


def test_an_endpoint_that_does_not_answer_is_to_be_retried() -> None:
    class Unreachable:
        def send_message_batch(self, **request: Any) -> None:
            raise EndpointConnectionError(endpoint_url=URL)

    failed = send(Unreachable(), URL, [Message("a"), Message("b")], lambda seconds: None)  # type: ignore[arg-type]
    assert {position: type(error) for position, error in failed.items()} == {0: QueueDown, 1: QueueDown}


@given(sizes=st.lists(st.integers(0, 2_000) | st.integers(1, 100), max_size=60), most=st.integers(1, 20))
def test_batches_keep_to_the_limits_and_lose_nothing(sizes: list[int], most: int) -> None:
    found = list(batches(sizes, most, 1_000))
    assert [position for batch in found for position in batch] == list(range(len(sizes)))
    for batch in found:
        assert 1 <= len(batch) <= most
        assert len(batch) == 1 or sum(sizes[position] for position in batch) <= 1_000


def test_messages_keep_their_delays_from_batch_to_batch() -> None:
    queue = Sqs()
    messages = [Message("x" * (BATCH_BYTES // 3), number) for number in range(7)]
    assert send(queue, URL, messages) == {}  # type: ignore[arg-type]
    assert [(e["MessageBody"], e["DelaySeconds"]) for e in queue.entries(URL)] == messages
    assert [len(batch) for batch in queue.batches[URL]] == [3, 3, 1]


def test_bytes_count_and_not_characters() -> None:
    queue = Sqs()
    send(queue, URL, [Message("é" * 300_000), Message("é" * 300_000)])  # type: ignore[arg-type]
    assert len(queue.batches[URL]) == 2
