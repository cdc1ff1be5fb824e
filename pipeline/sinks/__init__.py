"""Where changes go. A sink applies changes, each only if it is newer than what is stored, and says what failed."""

from collections.abc import Sequence
from typing import Protocol

from pipeline.changes import Change, Outcome


class Sink(Protocol):
    """A store of users."""

    def apply(self, changes: Sequence[Change]) -> Outcome:
        """Apply ``changes``: at most one per user, sorted by user id.

        Raises ``pipeline.errors.Retry`` where the store as a whole cannot take them; what fails for single users is
        in the outcome.
        """
        ...
