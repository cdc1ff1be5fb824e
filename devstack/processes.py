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
    """Kill processes, and wait until they have ended."""
    killed = list(processes)
    for process in killed:
        with suppress(psutil.Error):
            process.kill()
    for process in killed:
        has_ended(process, KILL_SECONDS)


def has_ended(process: psutil.Process, seconds: float) -> bool:
    """Wait up to `seconds` for the end of a process; a zombie (in a container without an init) counts as ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False
