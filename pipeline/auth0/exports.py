"""Read an export of users: a user's JSON object on each line, as Auth0's export job writes it, perhaps compressed."""

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Final, cast

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


def changes(lines: Iterable[bytes], export: Export, tolerance: timedelta = DAY, *, first: int = 1) -> Iterator[Row]:
    """Return each line's user as a change; see ``pipeline.changes.exported``. Skips empty lines.

    ``first`` is the place of the first of the ``lines`` in the export.
    """
    for number, line in enumerate(lines, first):
        text = (line.removeprefix(_MARK) if number == 1 else line).strip()
        if not text:
            continue
        try:
            if len(line) > LONGEST:
                raise LineTooLong
            yield Row(number, *exported(text, export, tolerance))
        except Poison as error:
            yield Row(number, error)


def lines(file: io.IOBase) -> Iterator[bytes]:
    """Return the lines of an export, decompressed if they are gzip; of a longer one than ``LONGEST`` only the start.

    ``file`` is at its start, and need not be seekable. Needs the memory of one line. Raises ``DamagedExport``.
    """
    # BufferedReader takes every file that can be read into, and closes it with itself.
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", file))
    is_packed = buffered.peek(len(_GZIP)).startswith(_GZIP)
    stream: io.BufferedIOBase = gzip.GzipFile(fileobj=buffered) if is_packed else buffered
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
