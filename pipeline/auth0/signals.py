"""Turn an SQS batch into the users to fetch, each once, and their errors back into message ids. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from pipeline.auth0.envelope import Deferred, deferral
from pipeline.auth0.envelope import tenant as tenant_of
from pipeline.auth0.errors import WrongTenant
from pipeline.batch import Failure
from pipeline.changes import Signal, read
from pipeline.errors import Auth0SyncError, Poison


class Wanted(Struct):
    """A user to fetch, and the messages that name it."""

    message_ids: list[str]
    deferred: Deferred
    """The earliest ``first_seen``, the highest ``times`` and all ``causes`` of its messages."""
    sent_at: int
    """Unix time in milliseconds at which the last of its messages was sent."""


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


def collect(records: Sequence[Mapping[str, Any]], tenant: str = "") -> Signals:
    """Read ``messageId``, ``body`` and ``attributes.SentTimestamp`` of SQS records.

    With ``tenant``, refuse the events that name another tenant.
    """
    signals = Signals(received=len(records))
    for record in records:
        try:
            named = [meaning for meaning in read(record["body"]) if isinstance(meaning, Signal)]
            if named and tenant and (tenant_of(record["body"]) or tenant) != tenant:
                raise WrongTenant
        except (Poison, WrongTenant) as error:
            signals.unread.append(Failure(record["messageId"], error))
            continue
        if not named:
            signals.ignored += 1
            continue
        sent_at = int(record["attributes"]["SentTimestamp"])
        before = deferral(record["body"]) or Deferred(sent_at)
        for signal in named:
            causes = before.causes or (signal.cause,)
            for cause in causes:
                signals.causes[cause] = signals.causes.get(cause, 0) + 1
            deferred = Deferred(before.first_seen, before.times, causes)
            _add(signals, signal.user_id, Wanted([record["messageId"]], deferred, sent_at))
    return signals


def _add(signals: Signals, user_id: str, wanted: Wanted) -> None:
    known = signals.users.get(user_id)
    if known is None:
        signals.users[user_id] = wanted
        return
    signals.coalesced += 1
    one, other = known.deferred, wanted.deferred
    signals.users[user_id] = Wanted(
        known.message_ids + wanted.message_ids,
        Deferred(
            min(one.first_seen, other.first_seen),
            max(one.times, other.times),
            tuple(dict.fromkeys(one.causes + other.causes)),
        ),
        max(known.sent_at, wanted.sent_at),
    )


def in_turn(users: Mapping[str, Wanted]) -> list[str]:
    """Return the users in a fair order: of each cause those who have waited longest, one cause after the other.

    So many signals of one cause, such as a flood of sign-ups, only delay those of the same cause.
    """
    by_age = sorted(users, key=lambda user_id: users[user_id].deferred.first_seen)
    waiting: dict[str, int] = {}
    rounds: dict[str, int] = {}
    for user_id in by_age:
        causes = users[user_id].deferred.causes
        rounds[user_id] = min(waiting.get(cause, 0) for cause in causes)
        waiting |= {cause: waiting.get(cause, 0) + 1 for cause in causes}
    return sorted(by_age, key=rounds.__getitem__)


def failures(signals: Signals, failed: Mapping[str, Auth0SyncError]) -> list[Failure]:
    """Return the messages that SQS must deliver again: unreadable ones, and those of the users in ``failed``."""
    found = {failure.message_id: failure for failure in signals.unread}
    for user_id, error in failed.items():
        for message_id in signals.users[user_id].message_ids:
            found.setdefault(message_id, Failure(message_id, error, user_id))
    return list(found.values())
