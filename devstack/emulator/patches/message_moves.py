"""SQS's dead-letter queue redrive: StartMessageMoveTask, ListMessageMoveTasks, CancelMessageMoveTask.

AWS (SQS API Reference: StartMessageMoveTask, ListMessageMoveTasks, CancelMessageMoveTask; SQS Developer Guide, "Learn
how to configure a dead-letter queue redrive in Amazon SQS", "Amazon SQS API permissions: Actions and resource
reference"): a task moves the messages of a queue that is the dead-letter queue of another SQS queue, to their
original queues or to one destination. A queue has one task at a time, of 1 to 500 messages a second if it is limited.
Messages get a new id, time and count of receives. A list has up to 10 tasks, the newest first, and the handle of a
running one only. A cancelled task moves no message back. The caller needs the rights to receive and delete the
messages and to send them, too. The texts of the errors are those that AWS answered when LocalStack recorded its tests.

MiniStack: does not have the operations. It checks the right to the operation itself, by ``request_actions``.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import asyncio
import base64
import json
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ministack.core import responses, router
from ministack.services import sqs

from devstack.emulator import patching, permissions

MOST_PER_SECOND = 500
MOST_LISTED = 10
READING = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")

Data = dict[str, Any]
_original: dict[str, Any] = {}
_tasks = responses.AccountRegionScopedDict()
"""ARN of a source queue to its tasks, the newest last."""


@dataclass(eq=False)
class Task:
    """A move of messages; ``rate`` and ``destination`` are None if the request had none."""

    source: str
    destination: str | None
    rate: int | None
    to_move: int
    id: str = field(default_factory=responses.new_uuid)
    started: int = field(default_factory=lambda: int(time.time() * 1000))
    status: str = "RUNNING"
    moved: int = 0
    reason: str = ""

    @property
    def handle(self) -> str:
        """Return the opaque text that names the task."""
        return base64.b64encode(json.dumps({"taskId": self.id, "sourceArn": self.source}).encode()).decode()


class _FailedError(Exception):
    """The task cannot go on; the message is its failure reason."""


def apply() -> None:
    """Handle the operations before MiniStack's dispatcher does."""
    patching.require(sqs, "_json_ok", "_json_err_resp", "_Err", "_queues", "_queue_by_arn", "_refresh_counts")
    patching.require(sqs, "_ensure_msg_fields", "queue_delay", "esm_wake")
    patching.require(router, "extract_access_key_id")
    _original["handle_request"] = patching.replace(sqs, "handle_request", handle_request)


async def handle_request(method: str, path: str, headers: Any, body: bytes, query_params: Any) -> Any:
    """Handle every request of the service; the three operations in the JSON protocol."""
    operation = {
        "AmazonSQS.StartMessageMoveTask": start,
        "AmazonSQS.ListMessageMoveTasks": list_tasks,
        "AmazonSQS.CancelMessageMoveTask": cancel,
    }.get(headers.get("x-amz-target", ""))
    if operation is None:
        return await _original["handle_request"](method, path, headers, body, query_params)
    key = router.extract_access_key_id(headers, query_params)
    try:
        return sqs._json_ok(operation(json.loads(body or b"{}"), partial(_require_right, key)))
    except sqs._Err as error:
        return sqs._json_err_resp(error.code, error.message, error.status)


def start(data: Data, require: Any) -> Data:
    """StartMessageMoveTask; the messages move while the server answers other requests."""
    source, destination, rate = data["SourceArn"], data.get("DestinationArn"), data.get("MaxNumberOfMessagesPerSecond")
    require(source, *READING)
    queue = _queue(source, "SourceArn")
    if rate is not None and not 1 <= rate <= MOST_PER_SECOND:
        raise _invalid(f"Value for parameter MaxNumberOfMessagesPerSecond must be between 1 and {MOST_PER_SECOND}.")
    origins = [one["attributes"]["QueueArn"] for one in sqs._queues.values() if _dead_letter_arn(one) == source]
    if not origins:
        raise _invalid("Source queue must be configured as a Dead Letter Queue.")
    if destination and _queue(destination, "DestinationArn")["is_fifo"] != queue["is_fifo"]:
        raise _invalid("The destination must be of the same type as the source.")
    for arn in [destination] if destination else origins:
        require(arn, "sqs:SendMessage")
    tasks = _tasks.setdefault(source, [])
    if any(task.status == "RUNNING" for task in tasks):
        raise _invalid(
            "There is already a task running. Only one active task is allowed for a source queue arn at a given time."
        )
    sqs._refresh_counts(queue)
    task = Task(source, destination, rate, int(queue["attributes"]["ApproximateNumberOfMessages"]))
    tasks.append(task)
    _running.add(running := asyncio.get_running_loop().create_task(_run(task)))
    running.add_done_callback(_running.discard)
    return {"TaskHandle": task.handle}


def list_tasks(data: Data, require: Any) -> Data:
    """ListMessageMoveTasks."""
    require(data["SourceArn"], *READING)
    _queue(data["SourceArn"], "SourceArn")
    most = data.get("MaxResults") or 1
    if not 1 <= most <= MOST_LISTED:
        raise _invalid(f"Value for parameter MaxResults must be between 1 and {MOST_LISTED}.")
    return {"Results": [_described(task) for task in reversed(_tasks.get(data["SourceArn"], [])[-most:])]}


def cancel(data: Data, require: Any) -> Data:
    """CancelMessageMoveTask."""
    try:
        handle = json.loads(base64.b64decode(data["TaskHandle"], validate=True))
        task_id, source = handle["taskId"], handle["sourceArn"]
    except (ValueError, TypeError, KeyError):
        raise _invalid("Value for parameter TaskHandle is invalid.") from None
    require(source, *READING)
    _queue(source, "SourceArn")
    found = [task for task in _tasks.get(source, []) if task.id == task_id and task.status == "RUNNING"]
    if not found:
        raise sqs._Err("ResourceNotFoundException", "Task does not exist.", 404)
    found[0].status = "CANCELLED"
    return {"ApproximateNumberOfMessagesMoved": found[0].moved}


_running: set[Any] = set()


async def _run(task: Task) -> None:
    try:
        # The messages that are there at the start: those that come back while the task runs wait for the next one.
        while task.status == "RUNNING" and task.moved < task.to_move and _move_one(task):
            await asyncio.sleep(1 / task.rate if task.rate else 0)
    except _FailedError as error:
        task.status, task.reason = "FAILED", str(error)
    if task.status == "RUNNING":
        task.status = "COMPLETED"


def _move_one(task: Task) -> bool:
    queue, now = sqs._queue_by_arn(task.source), time.time()
    if queue is None:
        raise _FailedError("AWS.SimpleQueueService.NonExistentQueue")
    message = next((one for one in queue["messages"] if one["visible_at"] <= now), None)
    if message is None:
        return False
    sqs._ensure_msg_fields(message)
    kept = {name: value for name, value in message["sys"].items() if name != "DeadLetterQueueSourceArn"}
    arn = task.destination or message["sys"].get("DeadLetterQueueSourceArn")
    if not arn:
        raise _FailedError("CouldNotDetermineMessageSource")
    target = sqs._queue_by_arn(arn)
    if target is None:
        raise _FailedError("AWS.SimpleQueueService.NonExistentQueue")
    anew = {
        "id": responses.new_uuid(),
        "sys": kept | {"SentTimestamp": str(int(now * 1000))},
        "sent_at": now,
        "enqueued_at": now,
        "visible_at": now + sqs.queue_delay(target),
        "receive_count": 0,
        "first_receive_at": None,
        "receipt_handle": None,
    }
    queue["messages"].remove(message)
    target["messages"].append(message | anew)
    sqs.esm_wake.set()
    task.moved += 1
    return True


def _described(task: Task) -> Data:
    optional = {
        "TaskHandle": task.handle if task.status == "RUNNING" else None,
        "DestinationArn": task.destination,
        "MaxNumberOfMessagesPerSecond": task.rate,
        "FailureReason": task.reason or None,
    }
    return {
        "Status": task.status,
        "SourceArn": task.source,
        "ApproximateNumberOfMessagesMoved": task.moved,
        "ApproximateNumberOfMessagesToMove": task.to_move,
        "StartedTimestamp": task.started,
        **{name: value for name, value in optional.items() if value is not None},
    }


def _queue(arn: str, parameter: str) -> Data:
    queue: Data | None = sqs._queue_by_arn(arn)
    if queue is None:
        message = f"The resource that you specified for the {parameter} parameter doesn't exist."
        raise sqs._Err("ResourceNotFoundException", message, 404)
    return queue


def _dead_letter_arn(queue: Data) -> str | None:
    policy = json.loads(queue["attributes"].get("RedrivePolicy") or "{}")
    arn: str | None = policy.get("deadLetterTargetArn")
    return arn


def _require_right(key: str, resource: str, *actions: str) -> None:
    for action in actions:
        if not permissions.allowed(key, responses.get_account_id(), responses.get_region(), action, resource):
            raise sqs._Err("AccessDenied", f"Not authorized to perform: {action.lower()} on resource: {resource}", 403)


def _invalid(message: str) -> Exception:
    error: Exception = sqs._Err("InvalidParameterValue", message, 400)
    return error
