"""Put Auth0's events on the bus of the local stack, as Auth0 does."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from devstack import StackError
from devstack.traffic import Event

ENTRIES: Final = 20
"""Entries of one PutPartnerEvents call; the service takes no more."""


def batches(events: Iterable[Event], size: int = ENTRIES) -> Iterator[list[Event]]:
    """Split events into batches of ``size``, or of as many as one call takes."""
    rest = iter(events)
    while batch := list(islice(rest, min(size, ENTRIES))):
        yield batch


def put(client: Any, source: str, batch: Sequence[Event]) -> dict[str, Event]:
    """Put a batch, and return its events by the ids that EventBridge gives them.

    Raises ``StackError`` if the bus refuses one.
    """
    entries = [
        {
            "Time": event.time,
            "Source": source,
            "DetailType": event.detail_type,
            "Detail": json.dumps(event.detail, ensure_ascii=False),
        }
        for event in batch
    ]
    answer = client.put_partner_events(Entries=entries)
    if answer["FailedEntryCount"]:
        raise StackError(f"The bus refused {answer['FailedEntryCount']} of {len(entries)} events: {answer['Entries']}")
    return {entry["EventId"]: event for event, entry in zip(batch, answer["Entries"], strict=True)}
