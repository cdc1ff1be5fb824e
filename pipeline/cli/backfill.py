"""Load the existing users from an export of Auth0 into the stores."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import uuid4

import boto3
import msgspec
import typer
from msgspec.structs import replace

from pipeline.auth0.exports import lines
from pipeline.backfill.objects import Cut, Exports, Task
from pipeline.backfill.slices import Report, cut
from pipeline.backfill.watch import Watch
from pipeline.changes import Export, instant
from pipeline.cli.app import EXIT_UNHEALTHY, ArchiveBucket, AsJson, DeploymentName, app, print_json
from pipeline.cli.progress import Steps
from pipeline.cli.terminal import console, errors, in_markup
from pipeline.delivery.dead_letters import waiting
from pipeline.delivery.queue import Queue
from pipeline.delivery.targets import Consumer, client_config, queue_url
from pipeline.deploy import cost as costs
from pipeline.errors import BadSettings, CommandError
from pipeline.progress import Progress

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

POLL: Final = 2.0
"""Seconds between two looks at the results."""
TASKS: Final = 100
"""Tasks to send at a time."""
IDLE: Final = 5
"""Looks at an empty queue after which no result will come; SQS counts only about the messages."""
SHOWN: Final = 100
"""Refused users to print for each store."""


@app.command()
def backfill(
    deployment: DeploymentName,
    bucket: ArchiveBucket,
    from_file: Annotated[
        Path | None, typer.Option("--from-file", help="Auth0's export: JSON lines, compressed or not.")
    ] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with an export that is uploaded, by its id.")] = None,
    sink: Annotated[
        list[Consumer] | None, typer.Option(help="The store; repeat for several. Default: postgres, dynamodb.")
    ] = None,
    fields: Annotated[
        str | None, typer.Option(help="What was exported, such as email,name: a user without one has none.")
    ] = None,
    connection: Annotated[str | None, typer.Option(help="Only users of this connection.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first users.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the end; without, see it by --resume.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read the file, and estimate the cost.")] = False,
    as_json: AsJson = False,
) -> None:
    """Load the existing users from an export of Auth0 into the stores, while events flow.

    An event of the same or a later `updated_at` wins, so you can stop it and run it again. Exit code 3 if a line is no
    user, or a store did not take a user.
    """
    _require_fitting(from_file, resume, others=bool(dry_run or fields or connection or limit))
    stores = sink or [Consumer.POSTGRES, Consumer.DYNAMODB]
    if Consumer.REFRESH in stores:
        raise typer.BadParameter("--sink postgres, --sink dynamodb or both")
    exports = Exports(boto3.client("s3", config=client_config()), bucket)
    queue = None if dry_run else _queue(deployment)
    read: Report | None = None
    watch: Watch | None = None
    try:
        with Steps(errors if as_json else console) as steps:
            if from_file is not None:
                read = Report()
                slices = partial(cut, report=read, limit=limit, connection=connection)
                found = _upload(steps, from_file, fields or "", slices, read, None if dry_run else exports)
            else:
                found = exports.cut(str(resume))
            if queue is not None:
                watch = Watch(exports, found, stores)
                _send(steps, watch, queue, stores)
                if wait:
                    sqs = boto3.client("sqs", config=client_config())
                    _follow(steps, watch, partial(_is_busy, sqs, queue.url))
    finally:
        if as_json:
            print_json(_as_json(read, watch, stores))
        else:
            _print(read, watch, stores)
    lacking = watch is not None and wait and not watch.done
    if lacking or (read and read.odd) or (watch and any(watch.refused.values())):
        raise typer.Exit(EXIT_UNHEALTHY)


def _require_fitting(from_file: Path | None, resume: str | None, *, others: bool) -> None:
    if (from_file is None) == (resume is None):
        raise typer.BadParameter("either --from-file or --resume")
    if from_file is not None and not from_file.is_file():
        raise typer.BadParameter(f"there is no file {from_file}")
    if resume is not None and others:
        raise typer.BadParameter("--resume goes on with the export as it was uploaded, without other options")


def _queue(deployment: str) -> Queue:
    sqs = boto3.client("sqs", config=client_config())
    try:
        return Queue(sqs, queue_url(sqs, f"{deployment}-backfill"))
    except BadSettings:
        raise CommandError(
            f"the deployment {deployment} has no backfill in this account and region: set `backfill = {{}}` in its "
            "variables, deploy, and run this again. You may remove it afterwards."
        ) from None


def _taken_at(file: Path) -> str:
    """Return the time of the file as that of the export, or now if the file's is in the future."""
    return instant(min(datetime.fromtimestamp(file.stat().st_mtime, UTC), datetime.now(UTC)).isoformat())


def _upload(
    steps: Progress,
    file: Path,
    fields: str,
    slices: Callable[[Iterator[bytes], Export], Iterator[bytes]],
    report: Report,
    exports: Exports | None,
) -> Cut:
    """Upload an export in slices, and its description at the end; without ``exports``, only read it."""
    export = Export(f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:6]}", _taken_at(file))
    began = time.monotonic()
    with steps.step("Read") as step, file.open("rb") as stream:
        for content in slices(lines(stream), export):
            if exports is not None:
                exports.put_slice(export, report.slices, content)
            rate = report.users / max(time.monotonic() - began, 0.001)
            step.update(f"{report.users:,} users, {rate:,.0f}/s, {stream.tell() / file.stat().st_size:.0%} of the file")
    asked = [name.strip() for name in fields.split(",")]
    found = Cut(replace(export, fields=report.exported(asked)), report.slices, report.users)
    if exports is not None:
        exports.put_cut(found)
    return found


def _send(steps: Progress, watch: Watch, queue: Queue, stores: Sequence[str]) -> None:
    """Send the tasks of the slices without a result."""
    watch.look()
    tasks = [Task(watch.cut.export, number, store) for store in stores for number in watch.missing(store)]
    with steps.step("Send") as step:
        for start in range(0, len(tasks), TASKS):
            bodies = [msgspec.json.encode(task).decode() for task in tasks[start : start + TASKS]]
            if failed := queue.send(bodies).failed:
                raise next(iter(failed.values()))
            step.update(f"{start + len(bodies):,} tasks")


def _follow(
    steps: Progress, watch: Watch, is_busy: Callable[[], bool], sleep: Callable[[float], None] = time.sleep
) -> None:
    """Wait for the results of all slices, or until the queue is empty without them."""
    idle = 0
    with steps.step("Load") as step:
        while not watch.done:
            step.update(watch.progress())
            sleep(POLL)
            # The queue first: the look at the results then sees all that the function wrote before the queue was empty.
            idle = 0 if is_busy() else idle + 1
            watch.look()
            if idle > IDLE and not watch.done:
                step.fail(f"{watch.progress()}; the queue is empty, so the function gave up the rest")
                return
        step.update(watch.progress())


def _is_busy(sqs: "SQSClient", url: str) -> bool:
    left = waiting(sqs, url)
    return left.visible + left.hidden > 0


def _as_json(read: Report | None, watch: Watch | None, stores: Sequence[Consumer]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if read is not None:
        found["read"] = msgspec.to_builtins(read) | {"keys": sorted(read.keys)}
        found["dollars"] = round(costs.backfill(read.users, read.bytes, read.slices, stores), 2)
    if watch is not None:
        found["export"] = watch.cut.export.export_id
        found["stores"] = {
            store: msgspec.to_builtins(loaded)
            | {"missing_slices": len(watch.missing(store)), "refused_users": watch.refused[store]}
            for store, loaded in watch.loaded.items()
        }
    return found


def _print(read: Report | None, watch: Watch | None, stores: Sequence[Consumer]) -> None:
    if read is not None:
        console.print(f"{read.users:,} users, {read.bytes:,} bytes, {read.slices:,} slices", highlight=False)
        if read.left_out:
            console.print(f"  of other connections: {read.left_out:,}", highlight=False)
        for reason, odd in read.odd.items():
            some = ", ".join(map(str, odd.first[:10])) + (", …" if odd.count > 10 else "")
            console.print(f"  [yellow]no user[/], {in_markup(reason)}: {odd.count:,}, in line {some}", highlight=False)
        for note, number in read.notes.items():
            console.print(f"  [yellow]{in_markup(note)}[/]: {number:,}", highlight=False)
    if watch is None:
        if read is not None:
            dollars = costs.backfill(read.users, read.bytes, read.slices, stores)
            console.print(f"To load them costs about ${dollars:,.2f}. Nothing was sent: this was only a look.")
        return
    for store, loaded in watch.loaded.items():
        counts = {name: number for name, number in msgspec.to_builtins(loaded).items() if number}
        text = ", ".join(f"{name} {number:,}" for name, number in counts.items()) or "nothing yet"
        console.print(f"{in_markup(store)}: {text}", highlight=False)
        for user, reason in list(watch.refused[store].items())[:SHOWN]:
            console.print(f"  [red]refused[/], {in_markup(reason)}: user {in_markup(user)}", highlight=False)
    if not watch.done:
        console.print(
            f"It goes on without this command. To see how far it is, and to send again what was given up: "
            f"auth0-sync backfill --resume {in_markup(watch.cut.export.export_id)}",
            highlight=False,
            soft_wrap=True,
        )
