"""Write changes into stores. A sink applies a change only if it is newer than what is stored, and reports failures."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from pipeline.changes import Change, HistoryEntry, Outcome
from pipeline.errors import Refused

NOT_OURS = "the stored user has a form in which no sink writes users"
"""Detail of the error for a user whom somebody changed by hand: it must not fail the other users of the batch."""

T = TypeVar("T")
R = TypeVar("R")


class Batch(Protocol):
    """The part of a batch that a sink writes."""

    @property
    def changes(self) -> Sequence[Change]:
        """Return the changes, at most one per user, sorted by user id."""
        ...

    @property
    def history(self) -> Sequence[HistoryEntry]:
        """Return the history entries of the changes and of those that they supersede, by user id and version."""
        ...


B = TypeVar("B", bound=Batch)


class Sink(ABC):
    """A writer into one store of users."""

    @abstractmethod
    def apply(self, changes: Sequence[Change], history: Sequence[HistoryEntry] = ()) -> Outcome:
        """Apply the changes of a batch; a store without a history ignores ``history``.

        Raises ``pipeline.errors.Retry`` if the store as a whole cannot take them. The outcome has the errors of single
        users.
        """

    def write(self, chunks: Sequence[T], read: Callable[[T], B]) -> Iterator[tuple[B, Outcome]]:
        """Read and apply chunks of messages in turn; a sink may read the next one while its store works on this one."""
        for batch in map(read, chunks):
            yield batch, self.apply(batch.changes, batch.history)

    @abstractmethod
    def close(self) -> None:
        """Close the sink's connections and threads."""


def bisect(write: Callable[[Sequence[T]], R], rows: Sequence[T]) -> Iterator[tuple[Sequence[T], R | Refused]]:
    """Write rows as a whole; if the store refuses them, write them by halves, down to the rows that it refuses.

    Yields each part with what ``write`` returned, or one row with the error.
    """
    try:
        written = write(rows)
    except Refused as error:
        if len(rows) == 1:
            yield rows, error
        else:
            yield from halves(write, rows)
    else:
        yield rows, written


def halves(write: Callable[[Sequence[T]], R], rows: Sequence[T]) -> Iterator[tuple[Sequence[T], R | Refused]]:
    """Write rows that the store is known to refuse as a whole; see ``bisect``."""
    middle = len(rows) // 2
    yield from bisect(write, rows[:middle])
    yield from bisect(write, rows[middle:])
