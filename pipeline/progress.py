"""Report the steps of long work to a display."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Step(Protocol):
    """A step under way."""

    def update(self, text: str) -> None:
        """Report how far the step is."""

    def fail(self, text: str) -> None:
        """Report that the step has failed, with the reason. An exception that leaves the step has the same effect."""


class Progress(Protocol):
    """A display of steps. Steps may run at the same time, so several threads call both methods."""

    def step(self, title: str) -> AbstractContextManager[Step]:
        """Enter when a step starts, leave when it ends."""


class Quiet:
    """A ``Progress``, and its ``Step``, that show nothing."""

    def step(self, title: str) -> AbstractContextManager[Step]:  # noqa: ARG002 - the protocol's
        """Return a step that shows nothing."""
        return nullcontext(self)

    def update(self, text: str) -> None:
        """Show nothing."""

    def fail(self, text: str) -> None:
        """Show nothing."""


def duration(seconds: float) -> str:
    """Return a duration for a reader, such as ``1 h 05 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
