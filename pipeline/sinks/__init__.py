"""Where changes go. A sink applies changes, each only if it is newer than what is stored, and says what failed."""

from collections.abc import Callable, Sequence
from typing import Protocol

from pipeline.changes import Change, HistoryEntry, Outcome


class Sink(Protocol):
    """A store of users."""

    def apply(
        self,
        changes: Sequence[Change],
        history: Sequence[HistoryEntry] = (),
        meanwhile: Callable[[], object] | None = None,
    ) -> Outcome:
        """Apply ``changes``: at most one per user, sorted by user id.

        ``history`` has an entry of each change and of those that they supersede, sorted by user id and version; a
        store without a history passes it over. ``meanwhile`` is called while the store works, by a sink that would
        only wait then; not at all, or more than once, is as good.

        Raises ``pipeline.errors.Retry`` where the store as a whole cannot take them; what fails for single users is
        in the outcome.
        """
        ...
