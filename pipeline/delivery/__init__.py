"""Send message bodies to queues, functions and the archive's stream, and resend unprocessed messages."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pipeline.errors import Auth0SyncError


class Sent(NamedTuple):
    """The outcome of a send, by the position of each body."""

    failed: dict[int, Auth0SyncError]
    """Errors of the bodies that were not taken. A ``Retry`` may succeed later."""
    invoked: frozenset[int] = frozenset()
    """The bodies that the queue cannot take and that went to the function, stored or not."""


class Delivery(Protocol):
    """A target of messages: a queue with its function, a delivery stream, or several of them."""

    def send(self, bodies: Sequence[str]) -> Sent:
        """Send bodies in batches within the limits of AWS. A body that is not in ``failed`` was taken."""
