"""Manifests: signed lists of the archive's objects of each closed day, each with the digest of the one before.

As CloudTrail's digest files ("CloudTrail digest file structure"), but with the signature in the file, so that a copy of
the file can be checked alone.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Final, TypeVar

import msgspec

from pipeline.archive.records import Digest, Erased, Reason
from pipeline.archive.signed import NotSigned, Sign, Verify, seal, unseal

MANIFESTS: Final = "manifests/dt="
ERASURES: Final = "manifests/erasures/"

GRACE: Final = timedelta(hours=1)
"""Time after midnight (UTC) when a day is closed: Firehose names an object by the arrival of its first event, and
buffers events for 15 minutes at most."""

LATE: Final = timedelta(days=3)
"""Days whose late objects a manifest lists too: Firehose tries to write an object for 24 hours."""

DAY: Final = timedelta(days=1)

T = TypeVar("T")

_KEY: Final = re.compile(rf"{MANIFESTS}(\d{{4}}-\d\d-\d\d)/(\d{{4}})\.jsonl")


class Link(msgspec.Struct, frozen=True):
    """A manifest, by the digest of the whole file."""

    key: str
    sha256: Digest


class Manifest(msgspec.Struct, frozen=True, tag_field="kind", tag="manifest", kw_only=True):
    """The first line of a manifest; a line for each object version follows."""

    format: int = 1
    deployment: str
    bucket: str
    day: date
    part: int
    complete: bool
    """True if the next manifest is about the next day; else it is the next part of this one."""
    listed_at: datetime
    previous: Link | None
    expire_after_days: int | None
    objects: int

    @property
    def key(self) -> str:
        """Return the key of the object that holds it."""
        return key(self.day, self.part)

    def next(self) -> tuple[date, int]:
        """Return the day and part of the next manifest."""
        return (self.day + DAY, 0) if self.complete else (self.day, self.part + 1)


class Entry(msgspec.Struct, frozen=True):
    """A version of an object."""

    key: str
    version: str
    size: int
    sha256: Digest
    modified: datetime


class Erasure(msgspec.Struct, frozen=True, tag_field="kind", tag="erasure", kw_only=True):
    """The first line of a record of an erasure; a line for each object follows."""

    format: int = 1
    deployment: str
    bucket: str
    recorded_at: datetime
    reason: Reason
    reference: str
    objects: int


def key(day: date, part: int) -> str:
    """Return the key of a manifest; the order of keys is the order of the chain."""
    return f"{MANIFESTS}{day}/{part:04}.jsonl"


def position(key: str) -> tuple[date, int] | None:
    """Return the day and part of a manifest's key; None if the function does not write such a key."""
    match = _KEY.fullmatch(key)
    try:
        return (date.fromisoformat(match[1]), int(match[2])) if match else None
    except ValueError:
        return None


def last_closed(now: datetime) -> date:
    """Return the last day that is closed."""
    return (now.astimezone(UTC) - GRACE).date() - DAY


def covered(day: date) -> list[date]:
    """Return the days whose objects the manifest of a day lists, unless an earlier one does."""
    return [day - number * DAY for number in range(LATE.days, -1, -1)]


def link(key: str, document: bytes) -> Link:
    """Return the link to a manifest for the next one."""
    return Link(key, sha256(document).hexdigest())


def write(manifest: Manifest | Erasure, lines: Iterable[Entry] | Iterable[Erased], sign: Sign, signer: str) -> bytes:
    """Return the signed document. `signer` is the key's ARN."""
    return seal([manifest, *lines], sign, signer)


def read(document: bytes, key: str, verify: Verify, signer: str) -> tuple[Manifest, list[Entry]]:
    """Return the manifest of a key, and its lines. Raises NotSigned."""
    manifest, *lines = unseal(document, verify, signer)
    header = _parse(manifest, Manifest)
    if header.key != key:
        raise NotSigned(f"it is the manifest {header.key}")
    return header, [_parse(line, Entry) for line in lines]


def read_erasure(document: bytes, verify: Verify, signer: str) -> tuple[Erasure, list[Erased]]:
    """Return a record and its lines. Raises NotSigned."""
    erasure, *lines = unseal(document, verify, signer)
    return _parse(erasure, Erasure), [_parse(line, Erased) for line in lines]


def _parse(line: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise NotSigned(f"it holds no {kind.__name__.lower()}") from None
