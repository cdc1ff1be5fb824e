"""Invoke a deployed function, and wait for one that is not ready.

Lambda takes back the network interfaces of a function that is idle for weeks. The next invocation fails and wakes the
function, which takes up to a minute and a half.
"""

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from botocore.exceptions import ClientError

WAKE_SECONDS: Final = 120.0
"""How long a function may take to be ready."""

PAUSE: Final = 2.0
"""Seconds between two tries, and between two looks at the function's state."""

NOT_READY: Final = ("ResourceNotReadyException", "CodeArtifactUserPendingException", "ResourceConflictException")
"""Errors of Invoke that say that the function did not run, because it is inactive, woken or updated."""


def invoke(client: Any, function: str, event: Mapping[str, Any]) -> Any:
    """Invoke a function and return Lambda's answer, with the end of the log.

    Waits for a function that is not ready. Raises BotoCoreError and ClientError.
    """
    deadline = time.monotonic() + WAKE_SECONDS
    while True:
        try:
            return client.invoke(FunctionName=function, Payload=json.dumps(event), LogType="Tail")
        except ClientError as error:
            if error.response["Error"]["Code"] not in NOT_READY or time.monotonic() > deadline:
                raise
        time.sleep(PAUSE)
        _wait(client, function)


def wake(client: Any, functions: Iterable[str], event: Mapping[str, Any]) -> list[str]:
    """Wake the functions that are inactive and return their names.

    A function that is woken is invoked with `event`, which must do no harm if it runs. Raises BotoCoreError and
    ClientError.
    """
    idle = [name for name in functions if _state(client, name) == "Inactive"]
    for name in idle:
        try:
            client.invoke(FunctionName=name, Payload=json.dumps(event))
        except ClientError as error:
            if error.response["Error"]["Code"] not in NOT_READY:
                raise
    for name in idle:
        _wait(client, name)
    return idle


def _state(client: Any, function: str) -> str:
    return str(client.get_function_configuration(FunctionName=function).get("State", "Active"))


def _wait(client: Any, function: str) -> None:
    config = {"Delay": PAUSE, "MaxAttempts": max(1, round(WAKE_SECONDS / max(PAUSE, 0.001)))}
    client.get_waiter("function_active_v2").wait(FunctionName=function, WaiterConfig=config)
