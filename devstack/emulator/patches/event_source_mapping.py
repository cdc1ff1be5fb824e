"""The SQS event source of Lambda: batch size, batching window, partial batch responses, and the checks at creation.

AWS (Lambda Developer Guide, "Using Lambda with Amazon SQS", "Configuring an Amazon SQS queue as an event source",
"Handling errors for an SQS event source in Lambda"): a batch is invoked when BatchSize messages are there (up to
10,000 of a standard queue), the payload reaches 6 MB, or MaximumBatchingWindowInSeconds has passed since the first of
them. With ReportBatchItemFailures only the named messages come back after the visibility timeout; a response that is
not that shape, or names no message or one that was not in the batch, brings the whole batch back. A mapping whose
queue has a shorter visibility timeout than the function's timeout is refused, and so is a batch of more than 10
messages without a window. With a window, Lambda may keep the messages of a queue with very little traffic for up to 20
seconds; that is not imitated.

MiniStack: at most 10 messages and no window. A malformed partial batch response deletes the batch. The checks are
missing. And the pollers' threads replace a queue's list of messages while the server's thread appends to it, which
loses messages under load: here they do that on the server's thread.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import ministack.app
from ministack.core import responses
from ministack.services import lambda_svc, sqs

from devstack.emulator import patching

STANDARD_BATCH_WITHOUT_WINDOW = 10
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
# Bytes that a record adds to the payload beside its body.
RECORD_OVERHEAD_BYTES = 700
SERVER_TIMEOUT = 60.0

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the poller's view of the queue, its reading of a function's answer, and the checks of a new mapping."""
    patching.require(lambda_svc, "_esm_wake", "_get_func_record_for_qualifier", "_resolve_existing_esm_function")
    patching.require(sqs, "_get_q", "_collect_msgs", "_expire_retained", "_dlq_sweep", "_queues_lock", "_queue_by_arn")
    patching.require(ministack.app, "_MAIN_LOOP")
    for module, name, new in (
        (sqs, "_receive_messages_for_esm", receive_messages_for_esm),
        (sqs, "_delete_messages_for_esm", delete_messages_for_esm),
        (lambda_svc, "_sqs_esm_concurrency", sqs_esm_concurrency),
        (lambda_svc, "_execute_function", execute_function),
        (lambda_svc, "_run_sqs_batch", run_sqs_batch),
        (lambda_svc, "_create_esm", create_esm),
    ):
        _original[name] = patching.replace(module, name, new)


def receive_messages_for_esm(queue_url: str, max_number: int) -> list[dict[str, Any]]:
    """Receive up to ``max_number`` visible messages, or as many as fit one invocation's payload."""

    def receive() -> list[dict[str, Any]]:
        queue = sqs._get_q(queue_url)
        sqs._expire_retained(queue)
        sqs._dlq_sweep(queue)
        limit = max_number if not queue.get("is_fifo") else min(max_number, 10)
        visibility = int(queue["attributes"].get("VisibilityTimeout", "30"))
        messages: list[dict[str, Any]] = sqs._collect_msgs(queue, _fitting(queue, limit), visibility)
        return messages

    received: list[dict[str, Any]] = _on_server_thread(receive)
    return received


def delete_messages_for_esm(queue_url: str, receipt_handles: set[str]) -> None:
    """Delete the messages that the function has processed."""
    _on_server_thread(_original["_delete_messages_for_esm"], queue_url, receipt_handles)


def sqs_esm_concurrency(
    esm: dict[str, Any], func_rec: dict[str, Any], config: dict[str, Any], queue: dict[str, Any] | None = None
) -> int:
    """Return the number of batches that may run at once: none while the batching window is open."""
    if queue is not None and not _batch_is_due(esm, queue):
        return 0
    return int(_original["_sqs_esm_concurrency"](esm, func_rec, config, queue))


# ``message_ids`` of the batch that this thread invokes, from run_sqs_batch for execute_function.
_batch = threading.local()


def run_sqs_batch(
    esm: dict[str, Any], func_rec: Any, event: Any, batch: list[Any], queue_url: str, queue_name: str
) -> None:
    """Invoke the function with one batch and delete the messages that it did not report as failed."""
    if "ReportBatchItemFailures" in esm.get("FunctionResponseTypes", []):
        _batch.message_ids = {message["id"] for message in batch}
    try:
        _original["_run_sqs_batch"](esm, func_rec, event, batch, queue_url, queue_name)
    finally:
        _batch.message_ids = None


def execute_function(func: Any, event: Any) -> Any:
    """Invoke a function; a partial batch response that Lambda would not accept becomes a failure of the batch."""
    result = _original["_execute_function"](func, event)
    message_ids = getattr(_batch, "message_ids", None)
    if (
        message_ids is not None
        and not result.get("error")
        and not _is_partial_response(result.get("body"), message_ids)
    ):
        problem = {"errorType": "InvalidPartialBatchResponse", "errorMessage": str(result.get("body"))[:200]}
        return {**result, "error": True, "body": problem}
    return result


def create_esm(data: dict[str, Any]) -> Any:
    """CreateEventSourceMapping with Lambda's checks of batch size, window and visibility timeout."""
    queue = sqs._queue_by_arn(data.get("EventSourceArn", "")) if ":sqs:" in data.get("EventSourceArn", "") else None
    if queue is not None:
        problem = _mapping_problem(data, queue)
        if problem:
            return responses.error_response_json("InvalidParameterValueException", problem, 400)
    return _original["_create_esm"](data)


def _mapping_problem(data: dict[str, Any], queue: dict[str, Any]) -> str | None:
    batch_size = data.get("BatchSize", 10)
    if batch_size > STANDARD_BATCH_WITHOUT_WINDOW and not data.get("MaximumBatchingWindowInSeconds"):
        return "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
    name, qualifier, error = lambda_svc._resolve_existing_esm_function(data.get("FunctionName", ""))
    if error:
        return None  # MiniStack answers this one
    _, config = lambda_svc._get_func_record_for_qualifier(name, qualifier)
    visibility = int(queue["attributes"].get("VisibilityTimeout", "30"))
    timeout = int((config or {}).get("Timeout", 3))
    if visibility < timeout:
        return f"Queue visibility timeout: {visibility} seconds is less than Function timeout: {timeout} seconds"
    return None


def _is_partial_response(body: Any, message_ids: set[str]) -> bool:
    if isinstance(body, str | bytes):
        try:
            body = json.loads(body or "null")
        except ValueError:
            return False
    if body is None:
        return True
    failures = (body.get("batchItemFailures") or []) if isinstance(body, dict) else None
    return isinstance(failures, list) and all(
        isinstance(failure, dict) and failure.get("itemIdentifier") in message_ids for failure in failures
    )


def _batch_is_due(esm: dict[str, Any], queue: dict[str, Any]) -> bool:
    window = esm.get("MaximumBatchingWindowInSeconds") or 0
    if not window:
        return True
    now = time.time()
    visible = [message["visible_at"] for message in list(queue["messages"]) if message["visible_at"] <= now]
    if not visible:
        return True  # nothing to wait for; the poll also moves messages to the dead-letter queue
    if len(visible) >= _fitting(queue, esm.get("BatchSize", 10)) or queue.get("is_fifo"):
        return True
    remaining = min(visible) + window - now
    if remaining > 0:
        _wake_in(remaining)
    return bool(remaining <= 0)


def _fitting(queue: dict[str, Any], limit: int) -> int:
    """Return the number of messages, up to ``limit``, that fit one invocation's payload; at least one."""
    now, size, count = time.time(), 0, 0
    for message in list(queue["messages"]):
        if message["visible_at"] > now:
            continue
        size += (
            len(json.dumps(message["body"], ensure_ascii=False).encode("utf-8", "surrogatepass"))
            + RECORD_OVERHEAD_BYTES
        )
        if count == limit or (size > MAX_PAYLOAD_BYTES and count):
            return count
        count += 1
    return limit


_wake_at = 0.0


def _wake_in(seconds: float) -> None:
    """Wake the poller when the window closes; one timer is enough, as the poller looks at every mapping."""
    global _wake_at  # noqa: PLW0603 - read and written by the poller's one thread
    now = time.time()
    if now < _wake_at <= now + seconds:
        return
    _wake_at = now + seconds
    timer = threading.Timer(seconds, lambda_svc._esm_wake.set)
    timer.daemon = True
    timer.start()


def _on_server_thread(function: Callable[..., Any], *args: Any) -> Any:
    async def call() -> Any:
        return function(*args)

    return asyncio.run_coroutine_threadsafe(call(), ministack.app._MAIN_LOOP).result(SERVER_TIMEOUT)
