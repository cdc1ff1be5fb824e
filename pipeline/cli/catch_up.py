"""Send the events of the time in which an Event Stream was disabled to the sinks' queues."""

import os
import re
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from pipeline.auth0.events import QUIET, SCOPE, Events, Expired
from pipeline.catchup import THREADS, Report
from pipeline.catchup import catch_up as send
from pipeline.catchup.place import Keeper, Kept, Place
from pipeline.cli import auth0
from pipeline.cli.app import EXIT_UNHEALTHY, AsJson, DeploymentName, LogStreamSource, app, print_json
from pipeline.cli.progress import Steps
from pipeline.cli.sending import open_queues, show_outcome
from pipeline.cli.terminal import console, errors, in_markup
from pipeline.cli.times import past
from pipeline.delivery.consumers import SINKS
from pipeline.errors import CommandError
from pipeline.locks import exclusive

MARGIN: Final = timedelta(seconds=10)
"""Events may be out of order by this time: at one this much later than the start, all before the start have come."""

AGAIN: Final = "It stopped before the end. Run it again without --restart: it goes on from there."


@app.command("catch-up")
def catch_up(
    since: Annotated[str, typer.Option(help="How long ago, or the first event's time: 2h, 2026-11-25T10:00:00Z.")],
    deployment: DeploymentName,
    log_stream_source: LogStreamSource = "",
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin at --since, wherever an earlier run stopped.")
    ] = False,
    quiet: Annotated[
        float, typer.Option(min=1, max=600, help="Seconds without an event after which there are no more.")
    ] = QUIET,
    place: Annotated[
        Path | None,
        typer.Option(help="File of the place to go on from. Default: ~/.local/state/auth0-sync/NAME.catch-up.json."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count; send nothing, and keep no place.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send the events that a disabled Event Stream missed, from Auth0's Events API, to the sinks' queues.

    Start the Event Stream before, so that no event falls between the two. Ends when it has caught up with its own
    start. Goes on where an earlier run stopped; an event that the stores know changes nothing, so you can stop it and
    run it again.

    Reads AUTH0_DOMAIN, AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET of an application with `read:events`. Exit code 3 if an
    event was not taken.
    """
    started = datetime.now(UTC)
    begin = past(since, started)
    settings = auth0.settings(log_stream_source)
    file = place or _default_place(deployment)
    kept = Kept(file)
    busy = CommandError(f"Another catch-up of {deployment} runs on this machine.")
    report = Report()
    lock = nullcontext() if dry_run else exclusive(file.with_suffix(".lock"), busy)
    with lock:
        if restart and not dry_run:  # now, so that a run after this one does not go on from the earlier place
            kept.forget()
        known = None if restart else kept.read()
        if known is None or not known.goes_on(settings.domain, begin):
            known = Place(settings.domain, begin, "", begin)
        keeper = Keeper(kept, known)
        try:
            with Steps(errors if as_json else console) as steps, steps.step("Catch up") as step:
                step.update("sign in")
                api = auth0.management(settings, [SCOPE], step.update)
                send(
                    Events(api, quiet=quiet).read(begin, known.offset, started + MARGIN),
                    {} if dry_run else open_queues(deployment, SINKS, THREADS),
                    report,
                    keeper.remember,
                    dry_run=dry_run,
                    update=lambda now: step.update(_progress(now)),
                )
                step.update(_progress(report))
                if report.caught_up and not dry_run:
                    keeper.end(started)
        except KeyboardInterrupt:
            if not dry_run:
                errors.print(AGAIN, highlight=False)
            raise
        except Expired as error:
            raise _expired(keeper.place, error) from None
        finally:
            _show(report, known, dry_run=dry_run, as_json=as_json)
    if not report.caught_up:
        errors.print(AGAIN, highlight=False)
    if not report.caught_up or report.refused or report.undelivered:
        raise typer.Exit(EXIT_UNHEALTHY)


def _default_place(deployment: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", deployment):
        raise typer.BadParameter("--deployment is the prefix of the names, such as auth0-sync-prod")
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "auth0-sync" / f"{deployment}.catch-up.json"


def _expired(place: Place, error: Expired) -> CommandError:
    moment = f"{place.reached:%Y-%m-%dT%H:%M:%SZ}"
    said = f" The queues have the events before {moment}, from an earlier run." if place.offset else ""
    return CommandError(
        f"Auth0 no longer keeps the events from {moment} on ({error}).{said} Catch up from a later time, with --since "
        "and --restart; for the changes between, load an export (docs/backfill.md), and for the deletions among them "
        "compare with one: auth0-sync reconcile --export FILE --exported-at TIME --fix"
    )


def _progress(report: Report) -> str:
    events = report.events.total()
    rate = f", {events / report.seconds:,.0f}/s" if events and report.seconds else ""
    return f"{events:,} events{rate}" + (f", up to {report.last[:19]}Z" if report.last else "")


def _show(report: Report, place: Place, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(vars(report) | {"resumed": bool(place.offset)})
        return
    if place.offset:
        console.print(
            f"It went on from {place.reached:%Y-%m-%dT%H:%M:%SZ}, where an earlier run stopped.", highlight=False
        )
    _show_read(report)
    if dry_run:
        console.print("Nothing was sent: this was only a look.")
        return
    show_outcome(report)
    if report.refused_from:
        console.print(f"To send these again: --since {report.refused_from[:19]}Z --restart", highlight=False)


def _show_read(report: Report) -> None:
    for kind, number in sorted(report.events.items()):
        console.print(f"  {in_markup(kind)}: {number:,}", highlight=False)
    if report.first:
        console.print(f"Events from {report.first[:19]}Z to {report.last[:19]}Z.", highlight=False)
    elif report.caught_up:
        console.print("Auth0 has no event of this time.", highlight=False)
    for reason, number in report.undelivered.most_common():
        console.print(f"  [red]not delivered by Auth0[/], {in_markup(reason)}: {number:,}", highlight=False)
