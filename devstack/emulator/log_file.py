"""Keep the emulator's log small: its standard output is a file, which grows by a megabyte a minute under load."""

import asyncio
import os
import stat
from pathlib import Path
from typing import Final

NAME: Final = "emulator.log"
MOST_BYTES: Final = int(os.environ.get("AUTH0_SYNC_EMULATOR_LOG_BYTES", "5000000"))
KEPT: Final = 3
"""Older files, `emulator.log.1` being the newest."""
POLL_SECONDS: Final = 1


def files(log: Path) -> list[Path]:
    """Return the log's files that exist, the oldest first."""
    return [path for path in [*(_older(log, number) for number in range(KEPT, 0, -1)), log] if path.exists()]


def rotate(log: Path, most: int = MOST_BYTES) -> None:
    """Begin a new file if the log is full and is the standard output, and drop the oldest."""
    now = os.fstat(1)
    if (
        not stat.S_ISREG(now.st_mode)
        or now.st_size <= most
        or not log.exists()
        or not os.path.samestat(now, log.stat())
    ):
        return
    for number in range(KEPT - 1, 0, -1):
        if (path := _older(log, number)).exists():
            path.replace(_older(log, number + 1))
    log.replace(_older(log, 1))
    fresh = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for output in (1, 2):
        os.dup2(fresh, output)
    os.close(fresh)


async def keep_small(log: Path) -> None:
    """Rotate whenever the log is full, until cancelled."""
    while True:
        await asyncio.sleep(POLL_SECONDS)
        rotate(log)


def _older(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
