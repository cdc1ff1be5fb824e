"""Send the past events of Auth0's Events API to the sinks' queues, and remember the place in them."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from msgspec import Raw

from pipeline.auth0.events import Received
from pipeline.catchup.ahead import Ahead
from pipeline.changes import EVENT_STREAM
from pipeline.delivery import Delivery
from pipeline.delivery.consumers import Consumer
from pipeline.delivery.envelope import own_event, own_source
from pipeline.delivery.queue import BATCH_MESSAGES
from pipeline.delivery.tally import Tally

SENDER: Final = "catch-up"
THREADS: Final = 16
"""Batches that are sent at the same time."""


@dataclass
class Report(Tally):
    """The events that a catch-up found, and how many of them it sent."""

    events: Counter[str] = field(default_factory=Counter)
    """Type to number of events."""
    first: str = ""
    """Time of the earliest event."""
    last: str = ""
    """Time of the latest event."""
    refused_from: str = ""
    """Time of the earliest event that a consumer did not take, of those that the next run does not send again."""
    undelivered: Counter[str] = field(default_factory=Counter)
    """Reason to number of messages of Auth0 without the event that they should have."""
    caught_up: bool = False
    seconds: float = 0.0


def body(received: Received) -> str:
    """Return the message for the queues: as one of the Event Stream, so that the same event has the same version."""
    time = received.time or datetime.now(UTC).isoformat()
    return own_event(SENDER, Raw(received.event), time, source=own_source(EVENT_STREAM))


def catch_up(
    source: Iterator[Sequence[Received]],
    targets: Mapping[Consumer, Delivery],
    report: Report,
    remember: Callable[[str, str], None],
    *,
    dry_run: bool = False,
    update: Callable[[Report], None] = lambda _: None,
) -> None:
    """Send the events of ``source`` to every target, and ``remember`` offset and time when the targets have them.

    Stops when a queue is down. ``report`` is right at every moment, even after an error.
    """
    began = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        for received in Ahead(source):
            events = [one for one in received if one.event]
            up = dry_run or _send(events, targets, report, pool)
            if not up:
                return
            _count(received, report)
            offset = next((one.offset for one in reversed(received) if one.offset), "")
            if offset and not dry_run:
                remember(offset, report.last)
            report.seconds = time.monotonic() - began
            update(report)
    report.caught_up = True


def _send(
    events: Sequence[Received], targets: Mapping[Consumer, Delivery], report: Report, pool: ThreadPoolExecutor
) -> bool:
    """Send events to every target; return whether every queue was up."""
    bodies = [body(one) for one in events]
    batches = [(start, bodies[start : start + BATCH_MESSAGES]) for start in range(0, len(bodies), BATCH_MESSAGES)]
    pending = [
        (consumer, start, len(batch), pool.submit(target.send, batch))
        for start, batch in batches
        for consumer, target in targets.items()
    ]
    up, refused = True, []
    for consumer, start, count, future in pending:
        outcome = future.result()
        up = report.add(consumer, count, outcome) and up
        refused += [events[start + place].time for place in outcome.failed]
    if up:  # else the next run begins with these events
        report.refused_from = min(filter(None, (report.refused_from, *refused)), default="")
    return up


def _count(received: Sequence[Received], report: Report) -> None:
    report.events.update(one.type for one in received if one.event)
    report.undelivered.update(one.problem for one in received if one.problem)
    times = [one.time for one in received if one.time]
    report.first = min([*times, *filter(None, [report.first])], default="")
    report.last = max([*times, report.last])
