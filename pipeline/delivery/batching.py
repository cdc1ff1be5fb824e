"""Split messages into the batches that a service takes, and resend those that it did not take."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from pipeline.errors import Auth0SyncError, Retry

ATTEMPTS: Final = 3
PAUSE: Final = 0.2
"""Seconds before the second attempt; twice as long before the third."""

Errors = dict[int, Auth0SyncError]
"""The error of each message that was not taken, by its position."""


def batches(sizes: Iterable[int], most: int, most_bytes: int) -> Iterator[list[int]]:
    """Split positions into batches of at most ``most`` and ``most_bytes``; a larger message gets its own batch."""
    batch: list[int] = []
    size = 0
    for position, length in enumerate(sizes):
        if batch and (len(batch) == most or size + length > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(position)
        size += length
    if batch:
        yield batch


def persistently(
    send: Callable[[Sequence[int]], Errors], batch: Sequence[int], sleep: Callable[[float], None] = time.sleep
) -> Errors:
    """Send a batch of positions; resend, twice at most, those that failed with a ``Retry``."""
    failed: Errors = {}
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(PAUSE * 2 ** (attempt - 1))
        failed = {position: error for position, error in failed.items() if position not in batch} | send(batch)
        batch = [position for position, error in failed.items() if isinstance(error, Retry)]
        if not batch:
            break
    return failed
