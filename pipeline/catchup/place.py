"""The place of a catch-up: a small file, so that the next run goes on from there."""

from datetime import datetime
from pathlib import Path

import msgspec

from pipeline.errors import CommandError


class Place(msgspec.Struct, frozen=True):
    """All events from ``since`` up to ``offset`` are in the queues."""

    domain: str
    since: datetime
    offset: str
    reached: datetime
    """Time up to which events are in the queues."""
    caught_up: bool = False

    def goes_on(self, domain: str, since: datetime) -> bool:
        """Return whether a run for events of ``domain`` from ``since`` on can begin at the offset, and misses none."""
        return domain == self.domain and since >= self.since and (since <= self.reached or not self.caught_up)


class Kept:
    """A place in a file, which is replaced as a whole."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> Place | None:
        """Return the place; None if there is none."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Place)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            raise CommandError(
                f"{self._file} is damaged. Delete it, and run this again: it begins at --since."
            ) from None

    def write(self, place: Place) -> None:
        """Replace the place."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(place))
        new.replace(self._file)
