"""Pure: reduce an SQS batch to the newest change per user, and map outcomes back to message ids."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from msgspec import Struct

from pipeline.changes import (
    DAY,
    MASKED,
    Change,
    HistoryEntry,
    Meaning,
    Outcome,
    Signal,
    Snapshot,
    Tombstone,
    history_entry,
    interpret,
    merged,
)
from pipeline.errors import Auth0SyncError, Poison
from pipeline.senders import Senders

_CHANGES = (Snapshot, Tombstone)  # a tuple: isinstance takes three times as long for a union
_EVENT_TIME = slice(30, 57)  # of a version, see pipeline.changes.version
_AUTH0 = "auth0."  # prefix of the source of every change from Auth0 itself


class Counts(Struct):
    """The outcomes of a batch's messages, counted.

    The other fields add up to ``received``, unless a message has more than one meaning (linked accounts).
    """

    received: int = 0
    applied: int = 0
    duplicate: int = 0
    """The store or this batch already has the same change."""
    stale: int = 0
    """The store or this batch already has a newer change."""
    ignored: int = 0
    signals: int = 0
    """A user changed, but the message lacks the profile: it must be fetched."""
    poison: int = 0
    retried: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        """Field by field."""
        return Counts(*(getattr(self, field) + getattr(other, field) for field in self.__struct_fields__))


class Failure(NamedTuple):
    """A message that SQS must deliver again, at last to the dead-letter queue, and the reason."""

    message_id: str
    error: Auth0SyncError
    user_id: str | None = None


class Batch(Struct):
    """The messages of one invocation, read."""

    received: int = 0
    newest: dict[str, Change] = {}
    """User id to the user's newest change, merged with keys that only older changes carry."""
    deliveries: dict[str, list[tuple[str, str]]] = {}
    """User id to (message id, version) of every message about the user: they fail if the newest change fails."""
    entries: dict[tuple[str, str], HistoryEntry] = {}
    """With history: every change of the batch once, by user id and version."""
    unread: list[Failure] = []
    masked: list[str] = []
    """Ids of the logs whose masked keys the sync left out."""
    signals: dict[str, int] = {}
    """Cause to number."""
    ignored: dict[str, int] = {}
    """Reason to number."""
    notes: dict[str, int] = {}
    """Note about odd messages to number of messages; see ``pipeline.changes.Reading``."""

    @property
    def changes(self) -> list[Change]:
        """Return the changes to apply, sorted by user id so that concurrent writers lock rows in one order."""
        return [self.newest[user_id] for user_id in sorted(self.newest)]

    @property
    def history(self) -> list[HistoryEntry]:
        """Return the history entries to record, in the order in which concurrent writers lock them."""
        return [self.entries[key] for key in sorted(self.entries)]


def collect(
    records: Sequence[Mapping[str, Any]],
    *,
    history: bool = False,
    tolerance: timedelta = DAY,
    senders: Senders | None = None,
) -> Batch:
    """Read ``messageId``, ``body`` and ``attributes.SenderId`` of SQS records and keep the newest change of each user.

    The time of the event orders a change that is dated further ahead than ``tolerance``. ``senders`` decides which
    events to believe; without it, all.

    With ``history``, keep an entry of each superseded change too, with its actor.
    """
    batch = Batch(received=len(records))
    for record in records:
        message_id = record["messageId"]
        check = None if senders is None else senders.check_for(record)
        try:
            meanings, notes = interpret(record["body"], tolerance, check)
        except Poison as error:
            batch.unread.append(Failure(message_id, error))
            continue
        if len(meanings) > 1 and isinstance(meanings[1], Signal) and meanings[1].cause == MASKED:
            batch.masked += [change.event_id for change in meanings if isinstance(change, Snapshot)]
        for note in notes:
            batch.notes[note] = batch.notes.get(note, 0) + 1
        for meaning in meanings:
            _add(batch, message_id, meaning)
            if history and isinstance(meaning, _CHANGES):
                batch.entries[meaning.user_id, meaning.version] = history_entry(meaning, record["body"])
    return batch


def _add(batch: Batch, message_id: str, meaning: Meaning) -> None:
    if isinstance(meaning, _CHANGES):
        user_id = meaning.user_id
        newest = batch.newest.get(user_id)
        if newest is None:
            batch.newest[user_id] = meaning
            batch.deliveries[user_id] = [(message_id, meaning.version)]
            return
        batch.deliveries[user_id].append((message_id, meaning.version))
        batch.newest[user_id] = merged(newest, meaning)
    elif isinstance(meaning, Signal):
        batch.signals[meaning.cause] = batch.signals.get(meaning.cause, 0) + 1
    else:
        batch.ignored[meaning.reason] = batch.ignored.get(meaning.reason, 0) + 1


def summarize(batch: Batch, outcome: Outcome) -> tuple[list[Failure], Counts]:
    """Return every message that must be delivered again, and the counts.

    Each message counts once. A user's newest change, and those merged into it, count as the sink reports them; its
    other changes as duplicate or stale; all of them as failed if the sink failed.
    """
    failures = list(batch.unread)
    counts = Counts(received=batch.received, ignored=sum(batch.ignored.values()), signals=sum(batch.signals.values()))
    for user_id, delivered in batch.deliveries.items():
        messages = delivered
        error = outcome.failed.get(user_id)
        if error is not None:
            failures += [Failure(message_id, error, user_id) for message_id, _ in messages]
            continue
        if outcome.unrecorded:
            failures += _unrecorded(outcome, user_id, delivered)
            messages = [message for message in delivered if (user_id, message[1]) not in outcome.unrecorded]
        merged_here = 1
        if len(messages) > 1:
            versions = [version for _, version in messages]
            parts = _parts(batch.newest[user_id])
            merged_here = len(parts.intersection(versions))
            same = sum(version in parts for version in versions) - merged_here
            counts.duplicate += same
            counts.stale += len(versions) - merged_here - same
        if user_id in outcome.duplicate:
            counts.duplicate += merged_here
        elif user_id in outcome.stale:
            counts.stale += merged_here
        else:
            counts.applied += merged_here
    counts.poison = sum(isinstance(failure.error, Poison) for failure in failures)
    counts.retried = len(failures) - counts.poison
    return failures, counts


def _parts(newest: Change) -> set[str]:
    """Return the versions of the changes that ``newest`` was merged from."""
    if newest.carried is None:
        return {newest.version}
    return {newest.version, newest.carried.whole, *newest.carried.keys}


def event_times(batch: Batch, outcome: Outcome) -> list[str]:
    """Return when Auth0's events that were applied happened, as ``instant``s.

    Uses the event's time, not ``updated_at``: a user may have been updated long before. Superseded changes do not
    count, as they may be old events delivered again, nor do the pipeline's own events.
    """
    others = outcome.duplicate | outcome.stale | outcome.failed.keys()
    return [
        change.version[_EVENT_TIME]
        for user_id, change in batch.newest.items()
        if user_id not in others and change.source.startswith(_AUTH0)
    ]


def _unrecorded(outcome: Outcome, user_id: str, messages: Sequence[tuple[str, str]]) -> list[Failure]:
    """Return the messages that history refused, of a user whose newest change it took."""
    errors = [(message_id, outcome.unrecorded.get((user_id, version))) for message_id, version in messages]
    return [Failure(message_id, error, user_id) for message_id, error in errors if error is not None]
