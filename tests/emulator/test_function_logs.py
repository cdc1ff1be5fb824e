import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from ministack.core.lambda_runtime import ProvidedWorker, Worker

from devstack.emulator.patches import function_logs

from .support import Aws

FUNCTION = """
import os, sys

def handler(event, context):
    print("first\\nsecond\\nlast")
    if event["ends"] == "raises":
        raise ValueError("no")
    if event["ends"] == "exits":
        sys.stdout.flush()
        os._exit(3)
"""
ANSWERS = """
import sys
print("first\\nsecond\\nlast", file=sys.stderr)
print("answer", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A worker whose thread begins to read long after the answer, as it may on a busy machine."""
    for kind in (Worker, ProvidedWorker):
        for method in ("_read_stderr", "_drain_stderr", "_drain_stderr_bounded"):
            monkeypatch.setattr(kind, method, getattr(kind, method))
    function_logs.apply()
    worker = Worker("function", {}, b"")
    command, pipe = [sys.executable, "-c", ANSWERS], subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        worker._proc = process
        # The thread keeps the process when the worker drops it.
        read = SimpleNamespace(_proc=process, _stderr_queue=worker._stderr_queue)
        worker._stderr_thread = threading.Timer(0.5, Worker._read_stderr, [read])
        assert process.stdout is not None
        assert process.stdout.readline() == "answer\n"
        worker._stderr_thread.start()
        yield worker
        process.kill()
        worker._stderr_thread.join()


def test_collecting_waits_for_the_thread(worker: Worker) -> None:
    assert worker._drain_stderr_bounded() == "first\nsecond\nlast"
    assert worker._drain_stderr() == ""
    assert ProvidedWorker._drain_stderr is not Worker._drain_stderr  # its lines come in another way


def test_collecting_waits_for_the_lines_of_a_process_that_has_ended(worker: Worker) -> None:
    process, worker._proc = worker._proc, None
    process.kill()
    assert worker._drain_stderr() == "first\nsecond\nlast"


@pytest.mark.emulator
@pytest.mark.parametrize("ends", ["answers", "raises", "exits"])
def test_log_of_an_invocation_is_whole(aws: Aws, ends: str) -> None:
    function = aws.function(FUNCTION)["FunctionName"]
    for _ in range(3):  # a function that raises or exits has another process each time
        answer = aws.lambda_.invoke(FunctionName=function, Payload=json.dumps({"ends": ends}), LogType="Tail")
        lines = base64.b64decode(answer["LogResult"]).decode().splitlines()
        assert [line for line in lines if line in ("first", "second", "last")] == ["first", "second", "last"]
