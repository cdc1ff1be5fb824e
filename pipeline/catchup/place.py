"""The place of a catch-up: a small file, so that the next run goes on from there."""

from datetime import datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

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
        """Return whether a run for ``domain``'s events from ``since`` on misses none if it begins at the offset."""
        return domain == self.domain and since >= self.since and (since <= self.reached or not self.caught_up)


class Kept:
    """The file of a place. Each write replaces it as a whole."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> Place | None:
        """Return the place; None if there is none. Raises CommandError if the file is damaged."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Place)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            raise CommandError(
                f"{self._file} is damaged. Delete it, and run this again: it begins at --since."
            ) from None

    def keep(self, place: Place) -> None:
        """Replace the place."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        new = self._file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(place))
        new.replace(self._file)

    def forget(self) -> None:
        """Delete the place."""
        self._file.unlink(missing_ok=True)


class Keeper:
    """The place of a run, and its file."""

    def __init__(self, kept: Kept, place: Place) -> None:
        self._kept, self.place = kept, place

    def remember(self, offset: str, last: str) -> None:
        """Record that the queues have all events up to an offset; ``last`` is the latest one's time, or empty."""
        reached = max(datetime.fromisoformat(last), self.place.reached) if last else self.place.reached
        self.place = replace(self.place, offset=offset, reached=reached, caught_up=False)
        self._kept.keep(self.place)

    def end(self, started: datetime) -> None:
        """Record that the queues have all events before the start of the run."""
        if self.place.offset:
            self._kept.keep(replace(self.place, reached=started, caught_up=True))
