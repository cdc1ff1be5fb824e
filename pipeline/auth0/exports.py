"""Read an export of users: a user's JSON object on each line, as Auth0's export job writes it, perhaps compressed."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import IO, Final

from msgspec import Struct

from pipeline.auth0.errors import DamagedExport, LineTooLong
from pipeline.changes import DAY, Export, Partial, exported
from pipeline.errors import Poison

LONGEST: Final = 4 << 20
"""Most bytes of a line that can be a user; Auth0's users have at most 1 MB."""
_PIECE: Final = 1 << 16
_GZIP: Final = b"\x1f\x8b"
_MARK: Final = b"\xef\xbb\xbf"
"""The byte order mark with which some programs begin a file."""


class Row(Struct, frozen=True):
    """A line of an export: the user's change, or the reason why there is none."""

    number: int
    """Place of the line in the export, from 1."""
    found: Partial | Poison
    notes: tuple[str, ...] = ()
    """Oddities of the user; see ``pipeline.changes.exported``."""


def changes(lines: Iterable[bytes], export: Export, tolerance: timedelta = DAY) -> Iterator[Row]:
    """Return each line's user as a change; see ``pipeline.changes.exported``. Skips empty lines."""
    for number, line in enumerate(lines, 1):
        text = (line.removeprefix(_MARK) if number == 1 else line).strip()
        if not text:
            continue
        try:
            if len(line) > LONGEST:
                raise LineTooLong
            yield Row(number, *exported(text, export, tolerance))
        except Poison as error:
            yield Row(number, error)


def lines(file: IO[bytes]) -> Iterator[bytes]:
    """Return the lines of an export, decompressed if they are gzip; of a longer one than ``LONGEST`` only the start.

    ``file`` is buffered and at its start. Needs the memory of one line. Raises ``DamagedExport``.
    """
    start = file.read(len(_GZIP))
    file.seek(0)
    stream = gzip.GzipFile(fileobj=file) if start == _GZIP else file
    number = 0
    try:
        while line := stream.readline(LONGEST + 1):
            number += 1
            yield line
            if len(line) > LONGEST:
                while line and not line.endswith(b"\n"):
                    line = stream.readline(_PIECE)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DamagedExport(f"after line {number}: {error}") from None
