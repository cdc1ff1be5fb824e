"""Pure: decide whether a sink believes an event, by the event's source and by the sender of its message.

SQS itself names the sender of each message: "For an IAM role, returns the IAM role ID", followed by the session's name
(SQS API Reference, ReceiveMessage). An invocation without a queue has no sender: the refresh's role may only invoke an
alias of its own, which Lambda tells the function.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from pipeline import errors
from pipeline.events import OWN_SOURCES, Envelope

REFRESH: Final = f"{OWN_SOURCES}refresh"
"""The source of the refresh's events."""
_REFRESH_SENDS: Final = ("user.updated", "user.deleted")


class Senders(Struct, frozen=True):
    """The events that a sink believes: those of Auth0's sources, and the project's own."""

    sources: frozenset[str]
    """Names of the deployment's partner event sources."""
    refresh_role_id: str = ""
    """Unique id of the refresh's role, which may only send the refresh's events; empty without refresh."""
    only_refresh: bool = False
    """True if the refresh itself invoked the function."""

    def check_for(self, record: Mapping[str, Any]) -> Callable[[Envelope], None]:
        """Return the check of the event in an SQS record: it raises ``ForeignSource`` or ``ForeignSender``."""
        sender: str = record.get("attributes", {}).get("SenderId", "")
        if self.only_refresh or (self.refresh_role_id and sender.partition(":")[0] == self.refresh_role_id):
            return _check_of_refresh
        return self._check_source

    def _check_source(self, envelope: Envelope) -> None:
        if envelope.source not in self.sources and not envelope.source.startswith(OWN_SOURCES):
            raise errors.ForeignSource


def _check_of_refresh(envelope: Envelope) -> None:
    """Let through only users that the refresh fetched, and their deletions, in its own name."""
    detail = envelope.detail
    fetched = detail.data.type is None and detail.type in _REFRESH_SENDS and bytes(detail.carried) == b"null"
    if envelope.source != REFRESH or not fetched:
        raise errors.ForeignSender
