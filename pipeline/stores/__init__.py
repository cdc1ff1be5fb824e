"""Read the users in Postgres and DynamoDB. Stores only read; `pipeline.sinks` write."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

User = dict[str, Any]
"""A row or an item as the store has it. Every one has `user_id` and `version`; a tombstone has a `deleted_at`."""


class Version(NamedTuple):
    """The place of a user's last change in the total order of changes."""

    user_id: str
    version: str


class Store(Protocol):
    """A database of users, read only."""

    def read(self, user_id: str) -> User | None:
        """Return a user or a tombstone, or None if the store has neither."""

    def find(self, email: str) -> list[str]:
        """Return the ids of the users with this e-mail address, in any case, ordered as in `versions`."""

    def versions(self) -> Iterator[Version]:
        """Return the version of each user and tombstone, ordered by the bytes of the user id in UTF-8."""
