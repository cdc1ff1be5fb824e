"""Compare the archive's objects with their manifests."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import groupby
from operator import attrgetter
from typing import Final

from pipeline.archive import chain as chains
from pipeline.archive.chain import Chain, Keyring, Kind, Problem
from pipeline.archive.manifest import Entry
from pipeline.archive.objects import Layout, Objects, Version
from pipeline.archive.records import Digest

THREADS: Final = 16
"""Objects that are read at the same time."""


@dataclass
class Report:
    """The result. Without `problems`, the archive is as the manifests and the records of erasures say."""

    first_day: date | None = None
    last_day: date | None = None
    manifests: int = 0
    erasures: list[str] = field(default_factory=list)
    """Keys of the records of erasures."""
    objects: int = 0
    """Versions that are as their manifest lists them."""
    bytes: int = 0
    """Bytes of these."""
    erased: int = 0
    """Versions that are gone, as a record says."""
    rewritten: int = 0
    """Versions that took their place, as a record says."""
    expired: int = 0
    """Versions that are gone because `archive.expire_after_days` is over."""
    pending: int = 0
    """Versions that the next manifest lists."""
    unproven: int = 0
    """Versions that no manifest lists, of days whose manifest is missing or not signed."""
    problems: list[Problem] = field(default_factory=list)


def verify(
    objects: Objects,
    layout: Layout,
    keyring: Keyring,
    now: datetime,
    *,
    since: date | None = None,
    until: date | None = None,
    quick: bool = False,
    update: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Check the whole chain, and the objects of the days from `since` to `until`.

    `quick` reads no listed version: it trusts S3 that the bytes of a version never change.
    """
    parents = layout.parents(objects)
    days, others = layout.days(objects, parents)
    chain = chains.read(objects, keyring, days[0] if days else None, now)
    report = Report(manifests=chain.manifests, erasures=chain.erasures, problems=chain.problems)
    report.problems += [Problem("added", None, one, "It is below no day, and no manifest lists it.") for one in others]
    wanted = sorted(day for day in {*days, *chain.entries} if (since or day) <= day <= (until or day))
    with ThreadPoolExecutor(THREADS) as pool:
        for day in wanted:
            report.first_day, report.last_day = report.first_day or day, day
            versions = (one for parent in parents for one in objects.versions(f"{parent}dt={day}/"))
            comparison = Comparison(day, chain, report, expired=chain.expired(day, now))
            comparison.compare(versions, objects, pool, quick=quick)
            update(report)
    return report


@dataclass
class Comparison:
    """Compares one day."""

    day: date
    chain: Chain
    report: Report
    expired: bool

    def compare(self, versions: Iterable[Version], objects: Objects, pool: Executor, *, quick: bool) -> None:
        """Add a day's objects to the report."""
        listed = self.chain.entries.get(self.day, {})
        present = {key: list(group) for key, group in groupby(versions, attrgetter("key"))}
        to_read = [
            one
            for key, versions in present.items()
            for one in versions
            if not one.deleted and (key in listed or key in self.chain.changes)
            if not (quick and any(one.id == entry.version for entry in listed.get(key, ())))
        ]
        read = dict(zip(((one.key, one.id) for one in to_read), pool.map(objects.digest, to_read), strict=True))
        for key in sorted({*listed, *present}):
            digests = {one.id: read.get((key, one.id), "") for one in present.get(key, ()) if not one.deleted}
            deleted = any(one.latest and one.deleted for one in present.get(key, ()))
            there = {version: digest for version, digest in digests.items() if digest is not None}
            self._judge(key, listed.get(key, []), there, deleted=deleted)

    def _judge(self, key: str, listed: Sequence[Entry], there: Mapping[str, Digest], *, deleted: bool) -> None:
        """Compare a key's listed versions with those that are there, by id; an empty digest was not read."""
        changes = self.chain.changes.get(key, [])
        before, after = {one for one, _ in changes}, {one for _, one in changes}
        proven = {entry.version: entry.sha256 for entry in listed}
        if len({*proven.values()} - after) > 1:
            self._add("overwritten", key, "It had several contents when the manifest was made.")
        gone = [entry for entry in listed if entry.version not in there]
        erased = [entry for entry in gone if entry.sha256 in before]
        self.report.erased += len(erased)
        for entry in listed:
            if entry.version in there:
                self._judge_listed(entry, there[entry.version])
            elif entry not in erased:
                self._judge_gone(entry)
        for version, digest in there.items():
            if version not in proven:
                self._judge_unlisted(key, version, digest, {*proven.values()}, after)
        final = after - before
        contents = {proven.get(version, digest) for version, digest in there.items()}
        if erased and not self.expired and not final & {None, *contents}:
            self._add("missing", key, "An erasure rewrote it, but the version that it wrote is gone.")
        if listed and deleted and there and not self.expired and None not in after:
            self._add("deleted", key, f"It is deleted, but not for good: version {next(iter(there))} is left.")

    def _judge_listed(self, entry: Entry, digest: Digest) -> None:
        if digest in ("", entry.sha256):
            self.report.objects += 1
            self.report.bytes += entry.size
        else:
            self._add("changed", entry.key, f"Version {entry.version} has other bytes than its manifest lists.")

    def _judge_gone(self, entry: Entry) -> None:
        if self.expired:
            self.report.expired += 1
        else:
            self._add("missing", entry.key, f"Version {entry.version}, {entry.size:,} bytes, is gone.")

    def _judge_unlisted(
        self, key: str, version: str, digest: Digest, proven: AbstractSet[Digest], after: AbstractSet[Digest | None]
    ) -> None:
        if digest and digest in after:
            self.report.rewritten += 1
        elif digest and digest in proven:  # delivered twice
            self.report.objects += 1
        elif proven:
            self._add("overwritten", key, f"Version {version} has another content, and no record explains it.")
        elif self.chain.is_unproven(self.day):
            self.report.unproven += 1
        elif self.chain.is_pending(self.day):
            self.report.pending += 1
        else:
            self._add("added", key, f"No manifest lists version {version}.")

    def _add(self, kind: Kind, key: str, detail: str) -> None:
        self.report.problems.append(Problem(kind, self.day, key, detail))
