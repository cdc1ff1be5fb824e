"""Cut an export into slices that a function can take, and report the lines that are no users."""

import gzip
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

from pipeline.auth0.exports import LONGEST, changes
from pipeline.changes import Export, Partial

USERS: Final = 2000
"""Most users of a slice; a killed function loads them again."""
BYTES: Final = LONGEST
"""Most bytes of a slice before compression. In base64, even what gzip cannot compress then fits an invocation, 6 MB."""
LISTED: Final = 100
"""Most lines to list by number for each reason."""


class Odd(Struct):
    """Lines that are no users, for one reason."""

    count: int = 0
    first: list[int] = []
    """Numbers of the first of them, up to ``LISTED``."""


class Report(Struct):
    """Counts and findings of an export."""

    users: int = 0
    bytes: int = 0
    slices: int = 0
    left_out: int = 0
    """Users of other connections than the wanted one."""
    odd: dict[str, Odd] = {}
    """By the name of the error."""
    notes: dict[str, int] = {}
    """Oddities of users that are loaded nevertheless."""
    keys: set[str] = set()
    """Top-level keys that a user has."""

    def exported(self, fields: Iterable[str]) -> tuple[str, ...]:
        """Return those of the ``fields`` that the export proves to have: of others, a missing key says nothing."""
        return tuple(sorted(self.keys.intersection(fields)))


class _Identity(Struct, frozen=True):
    connection: str = ""


_keys = msgspec.json.Decoder(dict[str, Raw])
_identities = msgspec.json.Decoder(list[_Identity])


def cut(
    lines: Iterable[bytes], export: Export, report: Report, *, limit: int | None = None, connection: str | None = None
) -> Iterator[bytes]:
    """Yield the users of an export in slices: lines, compressed; add the findings to ``report``.

    Takes the first ``limit`` users, of ``connection`` only if it is given.
    """
    slice_: list[bytes] = []
    size = 0
    for line in _users(lines, export, report, limit, connection):
        if slice_ and (len(slice_) == USERS or size + len(line) > BYTES):
            yield _packed(slice_, report)
            slice_, size = [], 0
        slice_.append(line)
        size += len(line)
    if slice_:
        yield _packed(slice_, report)


def _users(
    lines: Iterable[bytes], export: Export, report: Report, limit: int | None, connection: str | None
) -> Iterator[bytes]:
    for row in changes(lines, export):
        if not isinstance(row.found, Partial):
            odd = report.odd.setdefault(row.found.reason, Odd())
            odd.count += 1
            if len(odd.first) < LISTED:
                odd.first.append(row.number)
            continue
        user = _keys.decode(row.found.profile)
        if connection is not None and connection not in _connections(user):
            report.left_out += 1
            continue
        report.keys.update(user)
        for note in row.notes:
            report.notes[note] = report.notes.get(note, 0) + 1
        line = bytes(row.found.profile) + b"\n"
        report.users += 1
        report.bytes += len(line)
        yield line
        if report.users == limit:
            return


def _connections(user: Mapping[str, Raw]) -> list[str]:
    try:
        return [identity.connection for identity in _identities.decode(user.get("identities", Raw(b"[]")))]
    except msgspec.DecodeError:
        return []


def _packed(lines: list[bytes], report: Report) -> bytes:
    report.slices += 1
    return gzip.compress(b"".join(lines), compresslevel=6, mtime=0)
