"""Compare both stores: digests first, then the users of buckets that differ, then these users value by value."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Protocol

from pipeline.delivery.consumers import Consumer
from pipeline.progress import Progress
from pipeline.reconcile import Counts, Difference, counted
from pipeline.reconcile.compare import Item, difference
from pipeline.reconcile.digests import Digest, Listing, differing
from pipeline.reconcile.postgres import READ, PostgresUsers, Row


class Items(Protocol):
    """The users in DynamoDB; see ``pipeline.reconcile.dynamodb``."""

    def listing(self, update: Callable[[int], None]) -> Listing:
        """Return the live users."""

    def read(self, user_ids: Sequence[str]) -> Mapping[str, Item]:
        """Return items by user id."""


@dataclass
class Report:
    """The result of a comparison."""

    users: dict[Consumer, int] = field(default_factory=dict)
    """Number of live users in each store."""
    buckets: int = 0
    """Buckets that differed, and whose users were listed."""
    read: int = 0
    """Users with different hashes, who were read in both stores."""
    drift: list[Difference] = field(default_factory=list)
    in_flight: int = 0
    """Users whose last change may still be in a queue."""
    seconds: float = 0.0
    finished: bool = False

    @property
    def counts(self) -> Counts:
        """Return the number of users by kind and store."""
        return counted(self.drift)


class Stores:
    """Both stores."""

    def __init__(self, postgres: PostgresUsers, dynamodb: Items) -> None:
        self.postgres, self.dynamodb = postgres, dynamodb

    def look(
        self, settled: Callable[[], Mapping[Consumer, datetime]], progress: Progress, report: Report | None = None
    ) -> Report:
        """Compare all users.

        ``settled`` returns, for each store, the time up to which all changes have left its queue. If the comparison
        raises, the caller's ``report`` has the findings and the seconds until then.
        """
        began, report = time.monotonic(), report or Report()
        try:
            self._compare(settled, progress, report)
            report.finished = True
        finally:
            report.seconds = time.monotonic() - began
        return report

    def _compare(self, settled: Callable[[], Mapping[Consumer, datetime]], progress: Progress, report: Report) -> None:
        digests, listing = self._sides(progress)
        theirs = listing.digests()
        report.users = {Consumer.POSTGRES: total(digests), Consumer.DYNAMODB: total(theirs)}
        buckets = differing(digests, theirs)
        report.buckets = len(buckets)
        with progress.step("Differences") as step:
            until = settled()
            for user_ids in batches(suspects(listing, self.postgres, buckets, report.users[Consumer.POSTGRES]), READ):
                report.read += len(user_ids)
                for one in self.differences(user_ids):
                    if is_young(one, until):
                        report.in_flight += 1
                    else:
                        report.drift.append(one)
                step.update(f"{report.read:,} users read, {len(report.drift):,} differ")

    def differences(self, user_ids: Sequence[str]) -> Iterator[Difference]:
        """Read users in both stores, and yield their differences."""
        # Postgres first: a change in between makes its row the older one, of a moment ago.
        rows = self.postgres.read(user_ids)
        return self.differences_of(user_ids, rows, self.dynamodb.read(user_ids))

    def differences_of(
        self, user_ids: Sequence[str], rows: Mapping[str, Row], items: Mapping[str, Item]
    ) -> Iterator[Difference]:
        """Yield the differences between rows and items."""
        for user_id in user_ids:
            unless_read = self.postgres.contents
            if found := difference(rows.get(user_id), items.get(user_id), unless_read=unless_read):
                yield found

    def _sides(self, progress: Progress) -> tuple[dict[int, Digest], Listing]:
        """Hash both sides at the same time, so that few users change in between."""
        with ThreadPoolExecutor(1) as pool, progress.step("Postgres") as left, progress.step("DynamoDB") as right:
            digests = pool.submit(self.postgres.digests, lambda users: left.update(f"{users:,} users"))

            def update(items: int) -> None:
                right.update(f"{items:,} items")
                if digests.done():
                    digests.result()  # the scan costs money: end it if Postgres has failed

            listing = self.dynamodb.listing(update)
            return digests.result(), listing


def suspects(listing: Listing, postgres: PostgresUsers, buckets: Sequence[int], users: int) -> Iterator[str]:
    """Yield the ids of users that only one side lists, or both with different hashes."""
    for group in postgres.groups(buckets, users):
        theirs = {user_id: number for bucket in group for user_id, number in listing.users(bucket)}
        for user_id, number in postgres.users(group):
            if theirs.pop(user_id, None) != number:
                yield user_id
        yield from theirs


def batches(values: Iterable[str], size: int) -> Iterator[list[str]]:
    """Split values into lists of at most ``size``."""
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch


def total(digests: Mapping[int, Digest]) -> int:
    """Return the number of users in all buckets."""
    return sum(digest.users for digest in digests.values())


def is_young(one: Difference, settled: Mapping[Consumer, datetime]) -> bool:
    """Return whether a user's last change may still be in a queue; see ``Stores.look`` for ``settled``."""
    until = min(settled.values()) if one.store is None else settled[one.store]
    return one.changed_at is not None and one.changed_at > until
