"""Load lines of an export into a store, in any order and as often as wanted: the order of the changes decides."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from itertools import islice
from sys import getsizeof

from msgspec import Struct

from pipeline.auth0.exports import LONGEST, changes
from pipeline.changes import DAY, Change, Export, HistoryEntry, Outcome, Partial, merged, validate_export
from pipeline.errors import Auth0SyncError, Poison, Retry
from pipeline.sinks import Sink

CHUNK = 1000
"""Lines that the store gets in one batch."""
LARGEST = 3 * LONGEST
"""Most memory of the lines of a slice: three times what the command cuts, as text made of a deep value grows."""


class SliceTooLarge(Poison):
    """The lines take more memory than a slice of an export: somebody else than the command made it."""


class Refusal(Struct, frozen=True):
    """A user that the store did not take."""

    user_id: str
    error: Auth0SyncError


class Loaded(Struct):
    """The outcomes of the users in lines of an export; the numbers add up to ``rows``."""

    rows: int = 0
    applied: int = 0
    duplicate: int = 0
    """The store or these lines already have the same change."""
    stale: int = 0
    """The store has a newer user, or these lines have the user again."""
    refused: int = 0
    """The store can never take the user."""
    odd: int = 0
    """The line is no user."""

    def __add__(self, other: "Loaded") -> "Loaded":
        """Field by field."""
        return Loaded(*(getattr(self, field) + getattr(other, field) for field in self.__struct_fields__))


class _Lines(Struct):
    """A batch of lines, read."""

    rows: int = 0
    odd: int = 0
    newest: dict[str, Change] = {}
    history: Sequence[HistoryEntry] = ()
    """Always empty: history has the events and actors of changes, which an export does not have."""

    @property
    def changes(self) -> list[Change]:
        """Return the changes, sorted by user id so that concurrent writers lock rows in one order."""
        return [self.newest[user_id] for user_id in sorted(self.newest)]


def load(
    sink: Sink, lines: Iterable[bytes], export: Export, chunk: int = CHUNK, tolerance: timedelta = DAY
) -> tuple[Loaded, list[Refusal]]:
    """Load lines of an export into a store; return the counts, and the users that the store can never take.

    See ``pipeline.changes.exported`` for ``tolerance``. Raises ``Retry`` if the store did not take a user now: load the
    lines again; ``BadTimestamp`` for an export without a place in the order; ``SliceTooLarge`` before it loads a user.
    """
    validate_export(export, tolerance)
    lines = _bounded(lines)
    total, refused, later = Loaded(), list[Refusal](), list[Auth0SyncError]()
    for batch, outcome in sink.write(_chunks(lines, chunk), partial(_read, export=export, tolerance=tolerance)):
        total += _counted(batch, outcome)
        for user_id, error in outcome.failed.items():
            if isinstance(error, Retry):
                later.append(error)
            else:
                refused.append(Refusal(user_id, error))
    if later:
        raise later[0]
    return total, refused


def _bounded(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines; a few megabytes of gzip may hold more than the function's memory."""
    left = LARGEST
    for line in lines:
        left -= getsizeof(line)  # an empty line takes memory, too
        if left < 0:
            raise SliceTooLarge
        yield line


def _chunks(lines: Iterable[bytes], size: int) -> list[list[bytes]]:
    left = iter(lines)
    return list(iter(lambda: list(islice(left, size)), []))


def _read(lines: Sequence[bytes], export: Export, tolerance: timedelta) -> _Lines:
    batch = _Lines()
    for row in changes(lines, export, tolerance):
        batch.rows += 1
        if not isinstance(row.found, Partial):
            batch.odd += 1
            continue
        before = batch.newest.get(row.found.user_id)
        batch.newest[row.found.user_id] = row.found if before is None else merged(before, row.found)
    return batch


def _counted(batch: _Lines, outcome: Outcome) -> Loaded:
    again = batch.rows - batch.odd - len(batch.newest)
    failed = len(outcome.failed)
    applied = len(batch.newest) - len(outcome.duplicate) - len(outcome.stale) - failed
    return Loaded(
        batch.rows, applied, len(outcome.duplicate), len(outcome.stale) + again, refused=failed, odd=batch.odd
    )
