import base64
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from .support import Aws, name

pytestmark = pytest.mark.emulator

FUNCTION = """
import os, sys

def handler(event, context):
    for line in range(event.get("lines", 0)):
        print(line)
    sys.stdout.flush()
    if event.get("ends") == "raises":
        raise ValueError("no")
    if event.get("ends") == "exits":
        os._exit(3)
"""
MANY = 400_000
"""Takes longer to collect than the quarter of a second that MiniStack gives it."""


@pytest.fixture(scope="module")
def function(aws: Aws) -> Iterator[str]:
    package, function = io.BytesIO(), name("function")
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("function.py", FUNCTION)
    aws.lambda_.create_function(
        FunctionName=function,
        Runtime="python3.13",
        Role=aws.role("lambda.amazonaws.com"),
        Handler="function.handler",
        Timeout=30,
        Code={"ZipFile": package.getvalue()},
    )
    yield function
    aws.client("logs").delete_log_group(logGroupName=f"/aws/lambda/{function}")  # the emulator has it in memory


def invoke(aws: Aws, function: str, **event: Any) -> list[str]:
    """The last lines of the log of one invocation."""
    answer = aws.lambda_.invoke(FunctionName=function, Payload=json.dumps(event), LogType="Tail")
    return base64.b64decode(answer.get("LogResult", "")).decode().splitlines()


@pytest.mark.parametrize("ends", ["answers", "raises", "exits"])
def test_log_of_an_invocation_has_its_last_line(aws: Aws, function: str, ends: str) -> None:
    assert str(MANY - 1) in invoke(aws, function, lines=MANY, ends=ends)
    assert not any(line.isdigit() for line in invoke(aws, function))
