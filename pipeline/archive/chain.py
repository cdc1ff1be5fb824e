"""Read the chain of manifests and the records of erasures, and check their signatures and order."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Final, Literal

from pipeline.archive import manifest
from pipeline.archive.manifest import DAY, Entry, Link, Manifest
from pipeline.archive.objects import Objects, Version
from pipeline.archive.records import Digest
from pipeline.archive.signed import NotSigned, Verify

OVERDUE: Final = timedelta(hours=6)
"""Time for the function, which runs every hour, to write the manifest of a day that is closed."""

_OBJECT_DAY: Final = re.compile(r"/dt=(\d{4}-\d\d-\d\d)/")

Kind = Literal[
    "no manifest",
    "not signed",
    "chain broken",
    "manifest changed",
    "changed",
    "missing",
    "deleted",
    "overwritten",
    "added",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """A difference that no record explains."""

    kind: Kind
    day: date | None
    key: str
    detail: str


@dataclass(frozen=True, slots=True)
class Keyring:
    """The key of the deployment: its ARN, and the check of a signature."""

    arn: str
    verify: Verify


@dataclass
class Chain:
    """The content of the signed manifests and records."""

    entries: dict[date, dict[str, list[Entry]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    """Entries by the day and the key of the object."""
    changes: dict[str, list[tuple[Digest, Digest | None]]] = field(default_factory=lambda: defaultdict(list))
    """Digests before and after each recorded erasure, by key."""
    manifests: int = 0
    erasures: list[str] = field(default_factory=list)
    """Keys of the records."""
    last: Manifest | None = None
    unproven: set[date] = field(default_factory=set)
    """Days whose manifest is missing or not signed."""
    problems: list[Problem] = field(default_factory=list)

    def is_unproven(self, day: date) -> bool:
        """Return whether a manifest is missing that might list objects of the day."""
        return any(day + later * DAY in self.unproven for later in range(manifest.LATE.days + 1))

    def is_pending(self, day: date) -> bool:
        """Return whether the next manifest lists objects of the day."""
        return self.last is None or day >= self.last.next()[0] - manifest.LATE

    def expired(self, day: date, now: datetime) -> bool:
        """Return whether the lifecycle has deleted the day's objects."""
        days = self.last.expire_after_days if self.last else None
        return days is not None and day + timedelta(days) < now.date()


def read(objects: Objects, keyring: Keyring, first_day: date | None, now: datetime) -> Chain:
    """Read all manifests and records. `first_day` is the first day that has objects."""
    chain = Chain()
    _read_erasures(objects, keyring, chain)
    before: Link | None = None
    expected: set[tuple[date, int]] = set()
    for key, versions in groupby(objects.versions(manifest.MANIFESTS), attrgetter("key")):
        position = manifest.position(key)
        if position is None:
            chain.problems.append(Problem("added", None, key, "The function does not write objects of this name."))
            continue
        opened = _open(objects, keyring, key, position[0], versions, chain)
        if expected and position not in expected:
            _gap(chain, min(expected)[0], position[0] - DAY if position[1] == 0 else position[0])
            before = None
        if opened is None:
            chain.unproven.add(position[0])
            expected, before = {(position[0], position[1] + 1), (position[0] + DAY, 0)}, None
            continue
        header, entries, link = opened
        if header.previous != before and (before or not expected):
            detail = f"It continues {_name(header.previous)}, which is not {_name(before)} as it is."
            chain.problems.append(Problem("chain broken", header.day, key, detail))
        for entry in entries:
            chain.entries[_day(entry.key) or header.day][entry.key].append(entry)
        chain.manifests += 1
        chain.last, before, expected = header, link, {header.next()}
    due = manifest.last_closed(now - OVERDUE)
    if expected:
        _gap(chain, max(expected)[0], due)  # the day of a last manifest that is not signed has its own problem
    elif first_day:
        _gap(chain, first_day, due)
    return chain


def _read_erasures(objects: Objects, keyring: Keyring, chain: Chain) -> None:
    for version in objects.versions(manifest.ERASURES):
        if version.deleted:
            continue
        try:
            _, lines = manifest.read_erasure(objects.read(version), keyring.verify, keyring.arn)
        except NotSigned as error:
            chain.problems.append(Problem("not signed", None, version.key, str(error)))
            continue
        chain.erasures.append(version.key)
        for line in lines:
            chain.changes[line.key].append((line.before, line.after))


def _open(
    objects: Objects, keyring: Keyring, key: str, day: date, versions: Iterable[Version], chain: Chain
) -> tuple[Manifest, list[Entry], Link] | None:
    """Return the version that the function signed, and report the others."""
    opened = None
    for version in versions:
        if version.deleted:
            chain.problems.append(
                Problem("manifest changed", day, key, "It was deleted; an earlier version may be left.")
            )
            continue
        document = objects.read(version)
        try:
            header, entries = manifest.read(document, key, keyring.verify, keyring.arn)
        except NotSigned as error:
            chain.problems.append(Problem("not signed", day, key, f"Version {version.id}: {error}"))
            continue
        opened = header, entries, manifest.link(key, document)
    return opened


def _day(key: str) -> date | None:
    match = _OBJECT_DAY.search(key)
    return date.fromisoformat(match[1]) if match else None


def _name(link: Link | None) -> str:
    return link.key if link else "no manifest"


def _gap(chain: Chain, first: date, last: date) -> None:
    """Report days without a manifest, if there are any."""
    if first > last:
        return
    days = f"{first}" if first == last else f"{first} to {last}"
    detail = f"No manifest lists the objects of {days}."
    chain.problems.append(Problem("no manifest", first, manifest.key(first, 0), detail))
    chain.unproven |= {first + number * DAY for number in range((last - first).days + 1)}
