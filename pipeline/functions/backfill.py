"""The backfill function: read slices of an export, and hand each to the function of its store.

It is outside of the VPC, as it reads S3, and cannot write into the store; the store's function is inside, and reads no
S3. A slice whose function was killed or whose store is down is loaded again as a whole.
"""

import base64
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from msgspec.structs import replace

from pipeline.backfill.load import Loaded
from pipeline.backfill.objects import Exports, Result, Task, code, task
from pipeline.errors import Auth0SyncError, BadSettings, Retry, UnknownShape
from pipeline.functions import Context, aws_client, aws_session
from pipeline.telemetry import error_fields, logger

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

RESERVE: Final = 5.0
"""Seconds kept at the end of the function's time for writing the result."""

Answer = dict[str, list[dict[str, str]]]
"""A partial batch response: the messages that SQS must deliver again."""


class NotRead(Retry):
    """S3 did not return the slice, or take its result; a slice that is gone is AccessDenied to this role."""


class NotLoaded(Retry):
    """The function of the store did not load the slice; its log says why."""


class Backfill:
    """Load the slices that the messages of one queue name."""

    def __init__(
        self,
        exports: Exports,
        functions: "Callable[[float], LambdaClient]",
        sinks: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.monotonic,
        log: logging.Logger = logger,
    ) -> None:
        """``functions`` makes a client with a timeout in seconds; ``sinks`` has the function of each store."""
        self._exports, self._functions, self._sinks = exports, functions, sinks
        self._clock, self._log = clock, log

    def __call__(self, records: Sequence[Mapping[str, Any]], deadline: float) -> Answer:
        """Load the slices of SQS records before ``deadline``, by the monotonic clock."""
        failed = []
        for record in records:
            try:
                self._load(task(record["body"]), deadline)
            except Auth0SyncError as error:
                failed.append({"itemIdentifier": str(record["messageId"])})
                self._log.error("slice not loaded", extra={"message_id": record["messageId"], **error_fields(error)})
        return {"batchItemFailures": failed}

    def _load(self, task: Task, deadline: float) -> None:
        try:
            content = self._exports.slice(task)
            result = self._invoke(task, content, deadline)
            if task.written:
                loaded = result.loaded + Loaded(rows=task.written, applied=task.written)
                result = replace(result, loaded=loaded)
            self._exports.put_result(task, result)
        except (BotoCoreError, ClientError) as error:
            raise NotRead(_code(error)) from error
        place = {"export": task.export.export_id, "slice": task.number, "store": task.store}
        self._log.info("slice", extra={**place, **msgspec.to_builtins(result.loaded)})

    def _invoke(self, task: Task, content: bytes, deadline: float) -> Result:
        if task.store not in self._sinks:
            raise UnknownShape("a slice for a store that the deployment does not have")
        lines = base64.b64encode(content).decode()
        payload = msgspec.json.encode({"export": task.export, "lines": lines})
        try:
            client = self._functions(max(deadline - self._clock(), 1.0))
            answer = client.invoke(FunctionName=self._sinks[task.store], Payload=payload)
            said = answer["Payload"].read()
        except (BotoCoreError, ClientError) as error:
            raise NotLoaded(_code(error)) from error
        if "FunctionError" in answer:
            raise NotLoaded(str((json.loads(said) or {}).get("errorType") or "FunctionError"))
        return msgspec.json.decode(said, type=Result)


def _code(error: BotoCoreError | ClientError) -> str:
    return code(error) if isinstance(error, ClientError) else type(error).__name__


@cache
def backfill() -> Backfill:
    """Return the execution environment's one ``Backfill``, made by its settings."""
    exports = Exports(aws_session().create_client("s3"), _setting("ARCHIVE_BUCKET"))
    pairs = (sink.partition("=") for sink in _setting("SINK_FUNCTIONS").split(","))
    return Backfill(exports, _functions, {store: function for store, _, function in pairs})


def _setting(name: str) -> str:
    if not (value := os.environ.get(name)):
        raise BadSettings(f"{name} is not set")
    return value


def _functions(seconds: float) -> "LambdaClient":
    """Return a client that waits ``seconds`` for an answer: SQS repeats the message, so the client must not."""
    client: LambdaClient = aws_client("lambda", attempts=1, connect=2, read=seconds)
    return client


def handler(event: dict[str, Any], context: Context) -> Answer:
    """Load the slices of a batch; see ``Backfill``."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE
    return backfill()(event["Records"], deadline)
