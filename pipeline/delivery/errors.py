"""Errors of targets that did not take a message."""

from pipeline.errors import Auth0SyncError, Poison, Retry


class QueueDown(Retry):
    """A queue did not take the message."""


class QueueRefused(Poison):
    """A queue can never take the message as it is: it is too large, or has a character that SQS does not allow."""


class NotStored(Retry):
    """A function did not store the message that it was invoked with, as its queue cannot take it; its log says why."""

    def __init__(self, answer: str = "") -> None:
        super().__init__(answer)
        self.answer = answer


class StreamDown(Retry):
    """A delivery stream did not take the record."""

    def __init__(self, answer: str = "") -> None:
        super().__init__(answer)
        self.answer = answer


class RecordTooLarge(Poison):
    """A delivery stream can never take the record: it is over 1,000 KiB."""


def cause(error: Auth0SyncError) -> str:
    """Return the label under which to count a failure: the function's or the stream's answer, else the error's name."""
    return (error.answer if isinstance(error, NotStored | StreamDown) else "") or error.reason
