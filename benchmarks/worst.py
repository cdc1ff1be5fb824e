"""Measure the CPU seconds of each sync function for a megabyte of the worst JSON, without the database.

Lambda gives a function with 1,769 MB a whole CPU, and one with less a part of it.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from devstack.traffic.shapes import messages
from pipeline.batch import Batch, collect
from pipeline.errors import Refused
from pipeline.sinks.dynamodb import item

LIMIT = 2.0
"""Limit of the CPU seconds of a batch."""


def run() -> dict[str, Any]:
    """Return CPU seconds by shape and function; ``slow`` names those beyond ``LIMIT``."""
    seconds: dict[str, dict[str, float]] = {}
    for name, body in messages():
        records = [{"messageId": "1", "body": body}]
        seconds[name] = {
            "postgres": _cpu(lambda: msgspec.json.encode(_changes(collect(records, history=True)))),  # noqa: B023 - called at once
            "dynamodb": _cpu(lambda: _items(collect(records))),  # noqa: B023 - called at once
        }
    slow = [name for name, taken in seconds.items() if max(taken.values()) > LIMIT]
    return {"cpu_seconds": seconds, "worst": max(max(taken.values()) for taken in seconds.values()), "slow": slow}


def _changes(batch: Batch) -> list[Any]:
    return [*batch.changes, *batch.history]


def _items(batch: Batch) -> None:
    for change in batch.changes:
        with suppress(Refused):
            item(change)


def _cpu(work: Callable[[], object]) -> float:
    """Return the CPU time of this process, which other programs on the machine do not change much."""
    begun = time.process_time()
    work()
    return round(time.process_time() - begun, 3)
