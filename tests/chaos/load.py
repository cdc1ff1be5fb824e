"""The events of one scenario: put on the bus as Auth0 does, at a rate or as fast as the bus takes them."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import chain
from math import ceil
from typing import Any

from devstack import bus
from devstack.stack import Stack
from devstack.traffic import DEFAULT_START, Event, ExpectedState, generate

CALLS = 20
"""Calls in a second at a given rate, as long as the entries of one allow it."""

Json = dict[str, Any]


class Load:
    """What was put so far, and the state that both stores must reach because of it.

    The expected state uses the generator's own facts and none of the pipeline's code.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.expected = ExpectedState()
        self.details: dict[str, Json] = {}  #: EventBridge's id of an event to its ``detail``
        self.put_at: dict[str, datetime] = {}  #: log_id to the time of its first put
        self.unreadable: set[str] = set()  #: log_id of each event that belongs in the dead-letter queues
        self._lock = threading.Lock()

    def put(self, events: Iterable[Event], *, rate: float = 0, threads: int = 1) -> None:
        """Put events in their order, ``rate`` a second if given; several threads put as fast as they can.

        At a rate, each call has the events of a twentieth of a second, so that they come as steadily as Auth0's.
        """
        client = self.stack.client("events")
        if threads > 1:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda batch: self._put_batch(client, batch), bus.batches(events)))
            return
        started, count = time.monotonic(), 0
        for batch in bus.batches(events, ceil(rate / CALLS) if rate else bus.ENTRIES):
            self._put_batch(client, batch)
            count += len(batch)
            if rate:
                time.sleep(max(0.0, started + count / rate - time.monotonic()))

    def _put_batch(self, client: Any, batch: Sequence[Event]) -> None:
        now = datetime.now(UTC)
        put = bus.put(client, self.stack.log_stream_source, batch)
        with self._lock:
            for event_id, event in put.items():
                self.details[event_id] = event.detail
                self.put_at.setdefault(event.log_id, now)
                self.expected.observe(event)
                if event.kind == "malformed":
                    self.unreadable.add(event.log_id)


def traffic(events: int, seed: int, day: int, *, malformed: int = 0) -> list[Event]:
    """Return a tenant's activity, with a user for each eight events.

    ``day`` is when it begins, and must grow from scenario to scenario: some user ids are derived from names, so that
    another seed may have them too, and the later scenario's changes must be the newer ones.
    """
    start = DEFAULT_START + timedelta(days=day)
    return list(generate(events, max(20, events // 8), seed, start=start, malformed=malformed))


def thirds(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """Split events into three parts of the same length, in their order."""
    size = -(-len(events) // 3)
    return (events[start : start + size] for start in range(0, len(events), size))


def spread(events: Sequence[Event], copies: int) -> list[Event]:
    """Return each event ``copies`` times."""
    return list(chain.from_iterable([event] * copies for event in events))
