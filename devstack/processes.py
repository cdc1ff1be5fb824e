"""End processes and wait for their end.

psutil's own wait takes the exit code of a child of this program, and `subprocess` then reports 0 for it, as if the
child had succeeded. So these functions only look.
"""

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import psutil

KILL_SECONDS: Final = 10.0


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill processes, and wait for the end of each, up to KILL_SECONDS."""
    killed = list(processes)
    for process in killed:
        with suppress(psutil.Error):
            process.kill()
    for process in killed:
        has_ended(process, KILL_SECONDS)


def has_ended(process: psutil.Process, seconds: float) -> bool:
    """Wait up to `seconds` for the end of a process, and return whether it has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not (process.is_running() and alive(process.pid)):
            return True
        time.sleep(0.02)  # between looks; see above
    return False


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie (in a container without an init) has ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
