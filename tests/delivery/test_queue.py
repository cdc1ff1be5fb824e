"""An SQS queue: batches within its limits, failed entries sent again, and what it never takes to its function."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery import Sent
from pipeline.delivery.batching import batches
from pipeline.delivery.errors import NotStored, QueueDown, QueueRefused
from pipeline.delivery.function import Function
from pipeline.delivery.queue import BATCH_BYTES, Queue
from tests.refresh.support import Functions, Sqs

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


def queue(sqs: Any) -> Queue:
    return Queue(sqs, URL, sleep=lambda _: None)


def answer(*taken: int, failed: dict[int, tuple[str, bool]] | None = None) -> dict[str, Any]:
    return {
        "Successful": [{"Id": str(id_), "MessageId": "m", "MD5OfMessageBody": "x"} for id_ in taken],
        "Failed": [
            {"Id": str(id_), "Code": code, "SenderFault": fault} for id_, (code, fault) in (failed or {}).items()
        ],
    }


def test_only_a_failed_entry_is_sent_again(sqs: tuple[Any, Stubber]) -> None:
    client, stubber = sqs
    busy = {1: ("InternalError", False)}
    stubber.add_response("send_message_batch", answer(0, failed=busy), request((0, "a", 0), (1, "b", 30)))
    stubber.add_response("send_message_batch", answer(1), request((1, "b", 30)))
    pauses: list[float] = []
    assert Queue(client, URL, sleep=pauses.append).send(["a", "b"], [0, 30]) == Sent({})
    assert pauses == [0.2]


def test_a_queue_that_keeps_failing_is_down_after_three_attempts(sqs: tuple[Any, Stubber]) -> None:
    client, stubber = sqs
    for _ in range(3):
        stubber.add_response("send_message_batch", answer(failed={0: ("InternalError", False)}), request((0, "a", 0)))
    (failure,) = queue(client).send(["a"]).failed.values()
    assert isinstance(failure, QueueDown)
    assert "InternalError" in str(failure)


def test_refused_entry_is_not_sent_again(sqs: tuple[Any, Stubber]) -> None:
    client, stubber = sqs
    large = {0: ("InvalidParameterValue", True)}
    stubber.add_response("send_message_batch", answer(1, failed=large), request((0, "a", 0), (1, "b", 0)))
    failed, _ = queue(client).send(["a", "b"])
    assert [(position, type(error)) for position, error in failed.items()] == [(0, QueueRefused)]


def test_refused_batch_fails_only_the_message_to_blame(sqs: tuple[Any, Stubber]) -> None:
    client, stubber = sqs
    code = "AWS.SimpleQueueService.BatchRequestTooLong"
    stubber.add_client_error("send_message_batch", code, expected_params=request((0, "a", 0), (1, "b", 0)))
    stubber.add_client_error("send_message_batch", code, expected_params=request((0, "a", 0)))
    stubber.add_response("send_message_batch", answer(1), request((1, "b", 0)))
    failed, _ = queue(client).send(["a", "b"])
    assert [(position, type(error)) for position, error in failed.items()] == [(0, QueueRefused)]


def test_missing_right_is_a_retry(sqs: tuple[Any, Stubber]) -> None:
    client, stubber = sqs
    for _ in range(3):
        stubber.add_client_error("send_message_batch", "AccessDenied")
    (failure,) = queue(client).send(["a"]).failed.values()
    assert isinstance(failure, QueueDown)
    assert "AccessDenied" in str(failure)


def test_unreachable_endpoint_is_a_retry() -> None:
    class Unreachable:
        def send_message_batch(self, **request: Any) -> None:
            raise EndpointConnectionError(endpoint_url=URL)

    failed, _ = queue(Unreachable()).send(["a", "b"])
    assert {position: type(error) for position, error in failed.items()} == {0: QueueDown, 1: QueueDown}


@given(sizes=st.lists(st.integers(0, 2_000) | st.integers(1, 100), max_size=60), most=st.integers(1, 20))
def test_batches_keep_to_the_limits_and_lose_nothing(sizes: list[int], most: int) -> None:
    found = list(batches(sizes, most, 1_000))
    assert [position for batch in found for position in batch] == list(range(len(sizes)))
    for batch in found:
        assert 1 <= len(batch) <= most
        assert len(batch) == 1 or sum(sizes[position] for position in batch) <= 1_000


def test_messages_keep_their_delays_from_batch_to_batch() -> None:
    sqs = Sqs()
    assert queue(sqs).send(["x" * (BATCH_BYTES // 3)] * 7, range(7)) == Sent({})
    assert [entry["DelaySeconds"] for entry in sqs.entries(URL)] == [*range(7)]
    assert [len(batch) for batch in sqs.batches[URL]] == [3, 3, 1]


def test_bytes_count_and_not_characters() -> None:
    sqs = Sqs()
    queue(sqs).send(["é" * 300_000, "é" * 300_000])
    assert len(sqs.batches[URL]) == 2


LIMIT = 1000
LARGE = ["é" * LIMIT, "x" * (LIMIT + 1)]


def with_function(sqs: Any, functions: Functions, **limit: int) -> Queue:
    return Queue(sqs, URL, Function("sync", lambda seconds: functions, seconds=20), sleep=lambda _: None, **limit)  # type: ignore[arg-type, return-value]  # stand-ins


def test_body_over_the_queues_limit_is_not_sent_to_it() -> None:
    sqs, functions = Sqs(), Functions()
    target = with_function(sqs, functions, max_bytes=LIMIT)
    assert [target.fits(body) for body in ("é" * (LIMIT // 2), "é" * (LIMIT // 2) + "x")] == [True, False]
    assert target.send(["a", LARGE[0], "b", LARGE[1]]) == Sent({}, frozenset({1, 3}))
    assert sqs.bodies(URL) == ["a", "b"]
    assert functions.bodies == {"sync": LARGE}


def test_body_that_the_queue_refuses_goes_to_the_function_and_nothing_else_does() -> None:
    sqs, functions = Sqs(), Functions()
    sqs.fails = lambda url, entry: {"odd": ("InvalidMessageContents", True), "busy": ("InternalError", False)}.get(
        entry["MessageBody"]
    )
    failed, invoked = with_function(sqs, functions).send(["a", "odd", "busy"])
    assert functions.bodies == {"sync": ["odd"]}
    assert invoked == {1}
    assert {position: type(error) for position, error in failed.items()} == {2: QueueDown}


def test_body_that_the_function_does_not_store_has_failed() -> None:
    functions = Functions()
    functions.answer = {"FunctionError": "Unhandled"}
    failed, invoked = with_function(Sqs(), functions, max_bytes=LIMIT).send(["a", *LARGE])
    assert invoked == {1, 2}
    assert {position: type(error) for position, error in failed.items()} == {1: NotStored, 2: NotStored}


@given(
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["taken", "busy", "refused"])), max_size=30),
    st.sampled_from([None, 10]),
    st.booleans(),
)
def test_every_body_is_taken_once_or_has_failed(told: list[tuple[int, str]], limit: int | None, stores: bool) -> None:
    bodies = [f"{number}:{'x' * size}" for number, (size, _) in enumerate(told)]
    outcomes = {body: outcome for body, (_, outcome) in zip(bodies, told, strict=True)}
    sqs, functions = Sqs(), Functions()
    refusals = {"busy": ("InternalError", False), "refused": ("InvalidParameterValue", True)}
    sqs.fails = lambda url, entry: refusals.get(outcomes[entry["MessageBody"]])
    functions.answer = {} if stores else {"FunctionError": "Unhandled"}
    failed, invoked = with_function(sqs, functions, **({"max_bytes": limit} if limit else {})).send(bodies)
    given_to = functions.bodies.get("sync", [])
    assert given_to == [bodies[position] for position in sorted(invoked)]
    stored = given_to if stores else []
    assert sorted([*sqs.bodies(URL), *stored]) == sorted(
        body for position, body in enumerate(bodies) if position not in failed
    )
