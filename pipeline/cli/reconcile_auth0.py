"""The part of `reconcile` that compares with Auth0."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from pipeline.auth0.exports import lines
from pipeline.cli.auth0 import fetch_at
from pipeline.cli.terminal import console, in_markup
from pipeline.delivery import Delivery
from pipeline.delivery.consumers import Consumer
from pipeline.progress import Progress
from pipeline.reconcile import Counts, Difference, auth0, counted, fix
from pipeline.reconcile.fix import TIMEOUT, until_repaired
from pipeline.reconcile.look import Stores
from pipeline.reconcile.postgres import PostgresUsers

TITLES: Final = {Consumer.POSTGRES: "Postgres", Consumer.DYNAMODB: "DynamoDB"}


class AgainstAuth0:
    """The comparison of both stores with Auth0."""

    def __init__(self, stores: Stores, by_update: PostgresUsers, export: Path, rate: float) -> None:
        self._stores, self._by_update, self._export = stores, by_update, export
        self._fetch = fetch_at(rate)
        self._report = auth0.Report()
        self._done: auth0.Repair | None = None
        self.left: list[Difference] = []
        """The differences of the stores from Auth0 at the end."""

    @property
    def drift(self) -> Sequence[Difference]:
        """Return the differences of the stores from Auth0."""
        return self._report.drift

    @property
    def agrees(self) -> bool:
        """Return whether no user is known to differ."""
        return not self.left and not self._report.unconfirmed

    def look(
        self,
        taken_at: datetime,
        settled: Callable[[], Mapping[Consumer, datetime]],
        progress: Progress,
        most: int,
    ) -> None:
        """Compare; see ``pipeline.reconcile.auth0.look``."""
        self._report = auth0.look(
            self._stores, self._by_update, self._users, taken_at, self._fetch, settled, progress, most
        )
        self.left = self._report.drift

    def _users(self) -> Iterator[auth0.Exported]:
        with self._export.open("rb") as file:
            yield from auth0.exported(lines(file))

    def repair(self, targets: Mapping[Consumer, Delivery], progress: Progress) -> None:
        """Send Auth0's users to both stores, and look at them again."""
        with progress.step("Repair from Auth0") as step:
            self._done = auth0.repair(self._report, list(targets.values()))
            self.left = until_repaired(
                list(self._report.truth),
                lambda user_ids: auth0.left(self._stores, self._report, user_ids),
                step.update,
                timeout=TIMEOUT,
            )

    def document(self) -> dict[str, Any]:
        """Return the result for JSON."""
        report = self._report
        found: dict[str, Any] = {
            "exported": report.exported,
            "fetched": report.fetched,
            "unconfirmed": report.unconfirmed,
            "in_flight": report.in_flight,
            "drift": rows(report.counts),
        }
        if self._done:
            found |= repaired(self._done, self.left)
        return {"auth0": found}

    def show(self) -> None:
        """Print the result."""
        report = self._report
        console.print(
            f"Auth0: {report.exported:,} users exported, {report.fetched:,} fetched. In flight, and no difference: "
            f"{report.in_flight:,}",
            highlight=False,
        )
        if report.drift:
            print_counts(report.counts, self.left if self._done else None)
        elif not report.unconfirmed:
            console.print("Auth0 and the stores agree.", highlight=False)
        if self._done:
            print_refused(self._done)
        if report.unconfirmed:
            console.print(
                f"  {report.unconfirmed:,} more users may differ, and were not fetched: --most, or backfill.",
                highlight=False,
            )


def rows(counts: Counts) -> list[dict[str, Any]]:
    """Return counts for JSON."""
    return [{"kind": kind, "store": store, "users": number} for (kind, store), number in counts.items()]


def repaired(done: fix.Repair | auth0.Repair, left: Sequence[Difference]) -> dict[str, Any]:
    """Return the result of a repair for JSON."""
    return {"sent": done.sent, "refused": done.refused, "left": rows(counted(left))}


def print_refused(done: fix.Repair | auth0.Repair) -> None:
    """Print the reasons why a repair did not send users, with their numbers."""
    for reason, number in done.refused.most_common():
        console.print(f"  [red]not sent[/], {in_markup(reason)}: {number:,}", highlight=False)


def print_counts(counts: Counts, left: Sequence[Difference] | None) -> None:
    """Print a table of differences, and how many are left after a repair."""
    remaining = counted(left or ())
    table = Table(box=None, header_style="bold")
    for column in ("kind", "in", "users", *(("left",) if left is not None else ())):
        table.add_column(column, justify="right" if column in ("users", "left") else "left")
    for (kind, store), number in sorted(counts.items(), key=str):
        title = TITLES[store] if store else "both"
        table.add_row(kind, title, f"{number:,}", *((f"{remaining[kind, store]:,}",) if left is not None else ()))
    console.print(table)
