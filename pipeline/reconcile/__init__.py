"""Compare the users in Postgres and in DynamoDB, and repair what differs through the sinks' queues.

Both sides first sum up hashes of their users in ``BUCKETS``; only buckets that differ are listed, and only users of
different hashes are read. So equal stores of any size exchange some kilobytes.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from pipeline.delivery.consumers import Consumer

BUCKETS: Final = 4096
"""Number of groups of users, by the first 12 bits of a SHA-256 of the user id."""


STORES: Final = (Consumer.POSTGRES, Consumer.DYNAMODB)


class Kind(StrEnum):
    """The kind of difference between a user in one store and in the other."""

    MISSING = "missing"
    """The store lacks a user."""
    STALE = "stale"
    """The store has an older version."""
    GHOST = "ghost"
    """The store has a user whose deletion the other one knows."""
    DIFFERENT = "different"
    """Both have the same version, but other values: somebody has changed one of them by hand."""


class Difference(NamedTuple):
    """One user who is not the same in both stores."""

    kind: Kind
    store: Consumer | None
    """The store that is behind; None if both have the same version."""
    user_id: str
    changed_at: datetime | None
    """The last write of the user in either store."""


Counts = Counter[tuple[Kind, Consumer | None]]


def counted(differences: Iterable[Difference]) -> Counts:
    """Return the number of differences by kind and store."""
    return Counter((one.kind, one.store) for one in differences)
