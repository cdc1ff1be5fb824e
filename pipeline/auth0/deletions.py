"""Doubt deletions until Auth0 has known a user: it may be another tenant than that of the events."""

EXPECTED = "sdu"
"""Cause of a signal that itself says that the user was deleted."""


class Deletions:
    """The evidence that Auth0 answers for the right tenant; it lives as long as the execution environment.

    A wrong domain with credentials of its own answers every request with "no such user". So until Auth0 has known one
    user, the refresh believes only the first deletion: a single one is nothing unusual.
    """

    def __init__(self) -> None:
        self._known = False
        self._gone = 0

    def found(self) -> None:
        """Note that Auth0 knows a user."""
        self._known = True

    def are_believed(self, gone: int) -> bool:
        """Return whether to believe that ``gone`` further users do not exist."""
        self._gone += gone
        return self._known or self._gone <= 1
