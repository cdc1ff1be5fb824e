"""Cut an export into slices that a function can take, and report the lines that are no users."""

import gzip
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from pipeline.auth0.exports import LONGEST, Row, changes
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
    """Counts and findings of an export, as far as it is cut."""

    users: int = 0
    bytes: int = 0
    slices: int = 0
    lines: int = 0
    """Lines that were read; the rest of the export begins behind them."""
    left_out: int = 0
    """Users of other connections than the wanted ones."""
    odd: dict[str, Odd] = {}
    """By the name of the error."""
    notes: dict[str, int] = {}
    """Oddities of users that are loaded nevertheless."""
    keys: set[str] = set()
    """Top-level keys that an exported user has."""
    compared: int = 0
    """Users that were compared with Auth0's answer about them alone."""
    gone: int = 0
    """Compared users who are gone since the export."""
    missing: dict[str, int] = {}
    """By key, the compared users whom Auth0 exported without it; they are loaded with it."""

    def exported(self, fields: Iterable[str]) -> tuple[str, ...]:
        """Return those of the ``fields`` that the export proves to have: of others, a missing key says nothing."""
        return tuple(sorted(self.keys.intersection(fields)))


class _Identity(Struct, frozen=True):
    connection: str = ""


_keys = msgspec.json.Decoder(dict[str, Raw])
_identities = msgspec.json.Decoder(list[_Identity])


class Answer(NamedTuple):
    """Auth0's answer about a single user of an export."""

    user: Partial | None
    """The user; None for one who is gone."""
    missing: frozenset[str] = frozenset()
    """The keys that the export lacks."""


Ask = Callable[[Partial, AbstractSet[str]], Answer | None]
"""Gets an exported user and the user's keys; returns Auth0's answer, or None for a user to load as exported."""


class _Read(NamedTuple):
    """A line of an export."""

    keys: AbstractSet[str] = frozenset()
    answer: Answer | None = None
    left_out: bool = False
    line: bytes = b""
    """The user to load; empty for none."""


def cut(
    lines: Iterable[bytes],
    export: Export,
    report: Report,
    *,
    limit: int | None = None,
    connections: Collection[str] = (),
    ask: Ask | None = None,
) -> Iterator[bytes]:
    """Yield the users of an export in slices: lines, compressed; add the findings to ``report``.

    Takes the first ``limit`` users, of ``connections`` only if they are given. At each slice, ``report`` is that of the
    lines up to the end of the slice: with it and the lines behind them, another ``cut`` goes on.
    """
    slice_: list[bytes] = []
    size = 0
    if report.users == limit:
        return
    for row in changes(lines, export, first=report.lines + 1):
        read = _read(row, connections, ask)
        if read.line and slice_ and (len(slice_) == USERS or size + len(read.line) > BYTES):
            yield _packed(slice_, report)
            slice_, size = [], 0
        _count(report, row, read)
        if read.line:
            slice_.append(read.line)
            size += len(read.line)
        if report.users == limit:
            break
    if slice_:
        yield _packed(slice_, report)


def _read(row: Row, connections: Collection[str], ask: Ask | None) -> _Read:
    if not isinstance(row.found, Partial):
        return _Read()
    user = _keys.decode(row.found.profile)
    if connections and not any(name in connections for name in _connections(user)):
        return _Read(left_out=True)
    answer = ask(row.found, user.keys()) if ask else None
    found = answer.user if answer else row.found
    return _Read(user.keys(), answer, line=bytes(found.profile) + b"\n" if found else b"")


def _count(report: Report, row: Row, read: _Read) -> None:
    report.lines = row.number
    if not isinstance(row.found, Partial):
        odd = report.odd.setdefault(row.found.reason, Odd())
        odd.count += 1
        if len(odd.first) < LISTED:
            odd.first.append(row.number)
        return
    report.left_out += read.left_out
    report.keys.update(read.keys)
    if read.answer is not None:
        report.compared += 1
        report.gone += read.answer.user is None
        for key in read.answer.missing:
            report.missing[key] = report.missing.get(key, 0) + 1
    if read.line:
        report.users += 1
        report.bytes += len(read.line)
        for note in row.notes:
            report.notes[note] = report.notes.get(note, 0) + 1


def _connections(user: Mapping[str, Raw]) -> list[str]:
    try:
        return [identity.connection for identity in _identities.decode(user.get("identities", Raw(b"[]")))]
    except msgspec.DecodeError:
        return []


def _packed(lines: list[bytes], report: Report) -> bytes:
    report.slices += 1
    return gzip.compress(b"".join(lines), compresslevel=6, mtime=0)
