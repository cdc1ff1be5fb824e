"""Invoke a deployed function, and wait for one that is not ready.

Lambda removes the network interfaces of a function in a VPC that is idle for weeks. The next invocation fails and wakes
the function, which takes up to a minute and a half.
"""

import base64
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.errors import CommandError

LONGEST: Final = 900
"""The longest timeout of a Lambda function, in seconds."""

WAKE_SECONDS: Final = 120
"""Seconds for a function to become ready."""

PAUSE: Final = 2
"""Seconds between two tries, and between two checks of the function's state."""

LOG_LINES: Final = 10
"""Lines of the log that the message of a failure shows."""

_NOT_READY: Final = ("ResourceNotReadyException", "CodeArtifactUserPendingException", "ResourceConflictException")
"""Errors of Invoke after which the function did not run: it is inactive, being woken, or being updated."""


class FunctionFailed(CommandError):
    """A function raised an error, of the class `kind`."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def client(region: str) -> Any:
    """Return a client that waits as long as a function may run, and never runs it twice."""
    config = Config(read_timeout=LONGEST + 30, retries={"total_max_attempts": 1}, tcp_keepalive=True)
    return boto3.client("lambda", region_name=region, config=config)


def invoke(client: Any, function: str, event: Mapping[str, Any]) -> Any:
    """Invoke a function, once it is ready, and return Lambda's answer with the end of the log.

    Raises BotoCoreError and ClientError.
    """
    deadline = time.monotonic() + WAKE_SECONDS
    while True:
        try:
            return client.invoke(FunctionName=function, Payload=json.dumps(event), LogType="Tail")
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NOT_READY or time.monotonic() > deadline:
                raise
        time.sleep(PAUSE)
        _wait(client, function)


def call(client: Any, function: str, event: Mapping[str, Any], *, failed: str, logs: str) -> Any:
    """Invoke a function and return its result.

    Raises CommandError, and if the function raises, FunctionFailed: `failed`, the function's error, `logs` (the command
    that prints its log) and the log's end.
    """
    try:
        answer = invoke(client, function, event)
    except (BotoCoreError, ClientError) as error:
        raise CommandError(f"The function {function} could not be invoked: {error}") from error
    said = answer["Payload"].read().decode()
    if "FunctionError" in answer:
        log = tail(answer).strip().splitlines()
        shown = "\nThe end of its log:\n" + "\n".join(log[-LOG_LINES:]) if log else ""
        kind = str(_error(said).get("errorType", ""))
        raise FunctionFailed(f"{failed}\n  {function_error(said)}\nLook:  {logs}{shown}", kind)
    return json.loads(said)


def tail(answer: Mapping[str, Any]) -> str:
    """Return the end of the log from an answer of Lambda."""
    return base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")


def logs_command(function: str, env: str) -> str:
    """Return the command that prints a function's log; `function` is its name in the outputs, such as migrate."""
    return f"auth0-sync logs {function} --env {env}"


def function_error(payload: str) -> str:
    """Return the error that a function answered in place of a result, in a line or more."""
    answer = _error(payload)
    if "errorMessage" not in answer:
        return payload
    kind = answer.get("errorType")
    return f"{kind}: {answer['errorMessage']}" if kind else str(answer["errorMessage"])


def _error(payload: str) -> dict[str, Any]:
    """Return the error in a function's answer; empty if the answer has another form."""
    with suppress(ValueError):
        answer = json.loads(payload)
        if isinstance(answer, dict):
            return answer
    return {}


def idle(client: Any, functions: Iterable[str]) -> list[str]:
    """Return the functions that are inactive. Raises BotoCoreError and ClientError."""
    found = []
    for function in functions:
        with suppress(client.exceptions.ResourceNotFoundException):  # deleted by hand: the plan creates it again
            if client.get_function_configuration(FunctionName=function).get("State") == "Inactive":
                found.append(function)
    return found


def wake(client: Any, functions: Sequence[str], event: Mapping[str, Any]) -> None:
    """Wake functions that are inactive. The `event` must do no harm, as a function may run after all.

    Raises BotoCoreError and ClientError.
    """
    for function in functions:
        try:
            client.invoke(FunctionName=function, Payload=json.dumps(event))
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NOT_READY:
                raise
    for function in functions:
        _wait(client, function)


def _wait(client: Any, function: str) -> None:
    config = {"Delay": PAUSE, "MaxAttempts": WAKE_SECONDS // PAUSE}
    client.get_waiter("function_active_v2").wait(FunctionName=function, WaiterConfig=config)
