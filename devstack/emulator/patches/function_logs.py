"""The log of an invocation, whole when the invocation has answered.

AWS (Lambda Developer Guide, "Sending Lambda function logs to CloudWatch Logs"): the log of each invocation has all
lines that the function wrote in it.

MiniStack: a thread reads a function's lines, and after an answer the worker waits some milliseconds for them, 250 at
most. Lines that the thread reads later go to the next invocation's log; if none follows, they are lost.

Here the worker waits until the thread has read what the function wrote before it answered. The beginning of a line
without its end still goes to the next log, and functions of ``provided`` runtimes keep MiniStack's waits.
"""

import fcntl
import os
import queue
import select
import struct
import termios
import time
from collections.abc import Callable
from typing import Any

from ministack.core import lambda_runtime

from devstack.emulator import patching

SECONDS = 5.0
"""Longest wait for the lines: a function may leave a thread that writes on, or a process that keeps its pipe open."""

_original: dict[str, Callable[[Any], str]] = {}


def apply() -> None:
    """Replace the reader of a worker's lines, and the two ways to collect them."""
    patching.require(lambda_runtime, "Worker", "ProvidedWorker")
    worker, provided = lambda_runtime.Worker, lambda_runtime.ProvidedWorker
    for name, new in (("_drain_stderr", drain_stderr), ("_drain_stderr_bounded", drain_stderr_bounded)):
        _original[name] = patching.replace(worker, name, new)
        setattr(provided, name, _original[name])  # it inherits them, but another thread of its own reads its lines
    patching.replace(worker, "_read_stderr", read_stderr)


def read_stderr(self: Any) -> None:
    """Put each line that the worker's process writes into the worker's queue, until the process closes its pipe."""
    pipe, lines = self._proc.stderr, self._stderr_queue
    readable, rest, open_ = select.poll(), b"", True
    readable.register(pipe, select.POLLIN)
    while open_:
        readable.poll()
        with lines.mutex:  # whoever holds it finds each whole line in the pipe or in the queue
            data = os.read(pipe.fileno(), 65536)
            open_ = bool(data)
            *whole, rest = (rest + data).split(b"\n")
            whole += [rest] if rest and not open_ else []
            lines.queue.extend(line.decode(errors="replace") for line in whole)


def drain_stderr(self: Any) -> str:
    """Return the lines since the last call."""
    deadline = time.monotonic() + SECONDS
    process = self._proc
    if process is None:  # it has ended
        self._stderr_thread.join(SECONDS)
    else:
        while _unread(process.stderr, self._stderr_queue) and time.monotonic() < deadline:
            time.sleep(0.001)  # gives the thread its turn
    return _original["_drain_stderr"](self)


def drain_stderr_bounded(
    self: Any, first_line_wait: float = 0.050, idle_confirm: float = 0.005, hard_cap: float = 0.250
) -> str:
    """Return the lines since the last call; the bounds are not needed."""
    del first_line_wait, idle_confirm, hard_cap
    return drain_stderr(self)


def _unread(pipe: Any, lines: "queue.Queue[str]") -> bool:
    with lines.mutex:
        (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
    return bool(count)
