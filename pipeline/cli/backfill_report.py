"""The reports of `backfill`."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from pipeline.backfill.bulk import Phase
from pipeline.backfill.objects import Cut, Exports
from pipeline.backfill.slices import Report
from pipeline.backfill.watch import Watch
from pipeline.cli.app import print_json
from pipeline.cli.backfill_auth0 import Estimate
from pipeline.cli.terminal import console, in_markup
from pipeline.delivery.consumers import Consumer
from pipeline.deploy import cost as costs
from pipeline.progress import Progress

SHOWN: Final = 100
"""Refused users to print for each store."""
GOES_ON: Final = "It goes on without this command. To see how far it is, and to send again what was given up"
BULK: Final = {
    Phase.NOT_STARTED: (
        "Nothing was sent, and no bulk put is known to have started. To repeat it (without --bulk, by conditional puts)"
    ),
    Phase.RUNS: "The bulk put goes on without this command; to send the other users to the sink, go on by",
    Phase.FAILED: "No bulk put runs any more. To start another one (without --bulk, to go on by conditional puts)",
    Phase.OVER: "The bulk put is over. To see how far the sink is, and to send it the users who are left",
}
"""The sentences to print while DynamoDB lacks slices, by the phase of the bulk put."""


class Source(Protocol):
    """The source of an export: Auth0, a file, or the bucket."""

    @property
    def hint(self) -> str:
        """Return what to do after a stop."""

    @property
    def report(self) -> Report | None:
        """Return the report, as far as the export is read."""

    @property
    def not_exported(self) -> Sequence[str]:
        """Return the keys of users that no export has."""

    def get(self, steps: Progress, exports: Exports) -> Cut:
        """Write the export into ``exports``, and return it. Raises CommandError."""

    def end(self) -> None:
        """Note that the users are loaded."""


def print_estimate(estimate: Estimate, stores: Sequence[Consumer], *, as_json: bool) -> None:
    """Print the size of an export that has not begun, and the cost of loading it."""
    dollars = costs.backfill(estimate.users, estimate.bytes, estimate.slices, stores)
    if as_json:
        print_json({"estimate": estimate._asdict() | {"dollars": round(dollars, 2)}})
        return
    console.print(f"{estimate.users:,} users, about {estimate.bytes:,} bytes by a sample", highlight=False)
    console.print(in_markup(f"  fields: {', '.join(estimate.fields)}"), highlight=False)
    console.print(f"To load them costs about ${dollars:,.2f}. No export was started: this was only a look.")


def show(
    source: Source,
    watch: Watch | None,
    stores: Sequence[Consumer],
    *,
    dry_run: bool,
    as_json: bool,
    bulk: Phase | None = None,
) -> None:
    """Print the report of an export, and of its load, also after an error.

    ``bulk`` is how far the bulk put is; None without one.
    """
    read = source.report
    if as_json:
        print_json(_as_json(source, watch, stores))
        return
    if read is not None:
        _print_read(read)
    if source.not_exported:
        said = f"Auth0 cannot export by name: {', '.join(source.not_exported)}"
        console.print(f"  [yellow]{in_markup(said)}[/]", highlight=False)
    if watch is not None:
        _print_loaded(watch, bulk=bulk)
    elif read is not None and dry_run:
        dollars = costs.backfill(read.users, read.bytes, read.slices, stores)
        console.print(f"To load them costs about ${dollars:,.2f}. Nothing was sent: this was only a look.")


def _as_json(source: Source, watch: Watch | None, stores: Sequence[Consumer]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    read = source.report
    if read is not None:
        found["read"] = msgspec.to_builtins(read) | {"keys": sorted(read.keys)}
        found["dollars"] = round(costs.backfill(read.users, read.bytes, read.slices, stores), 2)
    if source.not_exported:
        found["not_exported"] = [*source.not_exported]
    if watch is not None:
        found["export"] = watch.cut.export.export_id
        found["stores"] = {
            store: msgspec.to_builtins(loaded)
            | {"missing_slices": len(watch.missing(store)), "refused_users": watch.refused[store]}
            for store, loaded in watch.loaded.items()
        }
    return found


def _print_read(read: Report) -> None:
    console.print(f"{read.users:,} users, {read.bytes:,} bytes, {read.slices:,} slices", highlight=False)
    if read.left_out:
        console.print(f"  of other connections: {read.left_out:,}", highlight=False)
    for reason, odd in read.odd.items():
        some = ", ".join(map(str, odd.first[:10])) + (", …" if odd.count > 10 else "")
        console.print(f"  [yellow]no user[/], {in_markup(reason)}: {odd.count:,}, in line {some}", highlight=False)
    for note, number in read.notes.items():
        console.print(f"  [yellow]{in_markup(note)}[/]: {number:,}", highlight=False)
    if read.compared:
        console.print(f"  compared with Auth0 one by one: {read.compared:,}, gone: {read.gone:,}", highlight=False)
    for key, number in sorted(read.missing.items()):
        said = f"Auth0 exported {number:,} of them without {key}; they are loaded with it"
        console.print(f"  [yellow]{in_markup(said)}[/]", highlight=False)


def _print_loaded(watch: Watch, *, bulk: Phase | None) -> None:
    for store, loaded in watch.loaded.items():
        counts = {name: number for name, number in msgspec.to_builtins(loaded).items() if number}
        text = ", ".join(f"{name} {number:,}" for name, number in counts.items()) or "nothing yet"
        console.print(f"{in_markup(store)}: {text}", highlight=False)
        for user, reason in list(watch.refused[store].items())[:SHOWN]:
            console.print(f"  [red]refused[/], {in_markup(reason)}: user {in_markup(user)}", highlight=False)
    if not watch.done:
        said = BULK[bulk] if bulk and watch.missing(Consumer.DYNAMODB) else GOES_ON
        console.print(
            f"{said}: auth0-sync backfill --resume {in_markup(watch.cut.export.export_id)}{' --bulk' if bulk else ''}",
            highlight=False,
            soft_wrap=True,
        )
