"""The errors of the sync, in two kinds for SQS.

A ``Retry`` may succeed when SQS delivers the message again; a ``Poison`` never will, and belongs in the dead-letter
queue. The message of an error is the docstring of its class, so that it is written once; a ``raise`` adds detail
without personal data.
"""


class Auth0SyncError(Exception):
    """Something went wrong; every error of this project is of this class."""

    def __init__(self, detail: str = "") -> None:
        summary = " ".join((type(self).__doc__ or "").split())
        super().__init__(f"{summary} ({detail})" if detail else summary)

    @property
    def reason(self) -> str:
        """Return the short, stable name of the error for logs, metrics and scripts, such as ``BadTimestamp``."""
        return type(self).__name__


class Retry(Auth0SyncError):
    """The store did not take the change now; it is delivered again."""


class Poison(Auth0SyncError):
    """The message can never be stored as it is."""


class NotJson(Poison):
    """The message is not JSON."""


class UnknownShape(Poison):
    """The message is JSON, but not the EventBridge envelope of an Auth0 event."""


class NoUserId(Poison):
    """The event says that a user changed, but names no usable user id."""


class BadTimestamp(Poison):
    """The event's time cannot be read as an ISO 8601 timestamp, so the change has no place in the order."""


class ForeignSource(Poison):
    """The event's source is neither one of this deployment's partner event sources nor the project's own."""


class ForeignSender(Poison):
    """The refresh sent an event that is not its own; its own are users that it fetched, in its own name."""


class Refused(Poison):
    """The store refused this user's data; no retry will change that."""


class StoreDown(Retry):
    """The store cannot be reached or is not ready; the whole batch is delivered again."""


class StoreBusy(Retry):
    """The store is throttling, locked or out of resources; the change is delivered again."""


class StoreNotReady(Retry):
    """The store answers, but lacks the table or the rights; run the migration, or check the role."""


class BadSettings(Auth0SyncError):
    """A setting is missing or wrong."""


class NotSet(BadSettings):
    """A setting is missing."""


class CommandError(Auth0SyncError):
    """A command could not do what was asked; ``auth0-sync`` prints the message, without a traceback."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)
