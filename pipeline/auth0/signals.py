"""Turn an SQS batch into the users to fetch, each once, and their errors back into message ids. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from pipeline.auth0.envelope import Deferred, deferral
from pipeline.batch import Failure
from pipeline.changes import Signal, read
from pipeline.errors import Auth0SyncError, Poison


class Wanted(Struct):
    """A user to fetch, and the messages that name it."""

    message_ids: list[str]
    deferred: Deferred
    """The earliest ``first_seen`` and the highest ``times`` of its messages."""


class Signals(Struct):
    """The messages of one invocation, read."""

    received: int = 0
    users: dict[str, Wanted] = {}
    """Users by id, in the order of their first message."""
    coalesced: int = 0
    """Number of signals about a user that an earlier signal of the batch names."""
    ignored: int = 0
    """Number of messages that name no user to fetch."""
    unread: list[Failure] = []
    causes: dict[str, int] = {}
    """Type of the event to number of signals."""


def collect(records: Sequence[Mapping[str, Any]]) -> Signals:
    """Read ``messageId``, ``body`` and ``attributes.SentTimestamp`` of SQS records."""
    signals = Signals(received=len(records))
    for record in records:
        try:
            named = [meaning for meaning in read(record["body"]) if isinstance(meaning, Signal)]
        except Poison as error:
            signals.unread.append(Failure(record["messageId"], error))
            continue
        if not named:
            signals.ignored += 1
            continue
        deferred = deferral(record["body"]) or Deferred(int(record["attributes"]["SentTimestamp"]))
        for signal in named:
            signals.causes[signal.cause] = signals.causes.get(signal.cause, 0) + 1
            _add(signals, signal.user_id, record["messageId"], deferred)
    return signals


def _add(signals: Signals, user_id: str, message_id: str, deferred: Deferred) -> None:
    known = signals.users.get(user_id)
    if known is None:
        signals.users[user_id] = Wanted([message_id], deferred)
        return
    signals.coalesced += 1
    known.message_ids.append(message_id)
    known.deferred = Deferred(
        min(known.deferred.first_seen, deferred.first_seen), max(known.deferred.times, deferred.times)
    )


def failures(signals: Signals, failed: Mapping[str, Auth0SyncError]) -> list[Failure]:
    """Return the messages that SQS must deliver again: unreadable ones, and those of the users in ``failed``."""
    found = {failure.message_id: failure for failure in signals.unread}
    for user_id, error in failed.items():
        for message_id in signals.users[user_id].message_ids:
            found.setdefault(message_id, Failure(message_id, error, user_id))
    return list(found.values())
