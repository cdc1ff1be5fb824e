"""Lambda entry points."""

from typing import Protocol


class Context(Protocol):
    """The part of Lambda's context that the functions use."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends the invocation."""
