"""The queues of a deployment, by the functions that read them."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Literal

from pipeline.changes import Meaning, Signal, Snapshot, Tombstone
from pipeline.log_types import LOGINS


class Consumer(StrEnum):
    """A queue of the deployment, and the function that reads it."""

    POSTGRES = "postgres"
    DYNAMODB = "dynamodb"
    REFRESH = "refresh"

    @property
    def function(self) -> str:
        """Return the function's name without the deployment's prefix."""
        return self.value if self is Consumer.REFRESH else f"sync-{self.value}"

    def wants(self, meanings: Sequence[Meaning], user_id: str | None = None) -> bool:
        """Return whether an event is for this consumer and concerns a user, or the user with that id.

        Sinks store changes. The refresh fetches the users that events only name, except after logins: too many.
        """
        return any(
            (isinstance(meaning, Signal) and meaning.cause not in LOGINS)
            if self is Consumer.REFRESH
            else isinstance(meaning, Snapshot | Tombstone)
            for meaning in meanings
            if user_id is None or getattr(meaning, "user_id", None) == user_id
        )


SINKS: Final = (Consumer.POSTGRES, Consumer.DYNAMODB)
Storing = Literal[Consumer.POSTGRES, Consumer.DYNAMODB]
"""The consumers that write into a store."""
