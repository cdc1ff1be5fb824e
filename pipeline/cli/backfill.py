"""Load the existing users from Auth0, or from a file of its export, into the stores."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import boto3
import msgspec
import typer

from pipeline.backfill.objects import Exports, Task
from pipeline.backfill.watch import Watch
from pipeline.backfill.whole import LARGE
from pipeline.cli.app import EXIT_UNHEALTHY, ArchiveBucket, AsJson, DeploymentName, LogStreamSource, app
from pipeline.cli.backfill_auth0 import FromAuth0, Options
from pipeline.cli.backfill_bulk import Table
from pipeline.cli.backfill_file import FromFile, Uploaded
from pipeline.cli.backfill_report import Source, print_estimate, show
from pipeline.cli.progress import Steps
from pipeline.cli.terminal import console, errors, in_markup
from pipeline.delivery.consumers import Consumer
from pipeline.delivery.dead_letters import waiting
from pipeline.delivery.queue import Queue
from pipeline.delivery.targets import client_config, queue_url
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


@app.command()
def backfill(
    deployment: DeploymentName,
    bucket: ArchiveBucket,
    from_file: Annotated[
        Path | None, typer.Option("--from-file", help="Load this export of Auth0: JSON lines, compressed or not.")
    ] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with an export that is uploaded, by its id.")] = None,
    sink: Annotated[
        list[Consumer] | None, typer.Option(help="The store; repeat for several. Default: postgres, dynamodb.")
    ] = None,
    fields: Annotated[
        str | None,
        typer.Option(
            help="With --from-file what was exported, such as email,name: a user without one has none. Else what to "
            "export beside the fields that the command finds."
        ),
    ] = None,
    connection: Annotated[
        list[str] | None, typer.Option(help="Only users of this connection; repeat for several.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first users.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the end; without, see it by --resume.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the users, and estimate the cost.")] = False,
    new: Annotated[bool, typer.Option("--new", help="Start another export, even if one is not loaded yet.")] = False,
    rate: Annotated[float, typer.Option(min=0.1, help="Users to fetch from Auth0 a second.")] = 2.0,
    fetch_above: Annotated[
        int, typer.Option(min=0, help="Fetch each user of more bytes from Auth0, as an export may lack parts of it.")
    ] = LARGE,
    bulk: Annotated[
        bool, typer.Option("--bulk", help="Let DynamoDB put the users whom its table lacks by a bulk put from S3.")
    ] = False,
    log_stream_source: LogStreamSource = "",
    as_json: AsJson = False,
) -> None:
    """Load the existing users into the stores, while events flow: from Auth0 by an export job, or from a file.

    Signs in to Auth0 by AUTH0_DOMAIN, AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET; the application needs read:users and
    read:connections. You can stop it at any time: the same command goes on within 24 hours.

    An event of the same or a later `updated_at` wins, so you can run it again. Exit code 3 if a line is no user, or a
    store did not take a user.
    """
    _require_fitting(from_file, resume, others=bool(dry_run or fields or connection or limit or new))
    stores = _stores(sink)
    into = _table(deployment, stores, dry_run=dry_run) if bulk else None
    exports = Exports(boto3.client("s3", config=client_config()), bucket)
    names = [name.strip() for name in (fields or "").split(",") if name.strip()]
    source: Source
    if resume is not None:
        source = Uploaded(resume)
    elif from_file is not None:
        source = FromFile(from_file, names, connection or (), limit, dry_run=dry_run)
    else:
        chosen = Options(connection or [], names, limit, rate, fetch_above, new)
        source = from_auth0 = FromAuth0(chosen, log_stream_source)
        if dry_run:
            with Steps(errors if as_json else console) as steps:
                estimate = from_auth0.estimate(steps)
            print_estimate(estimate, stores, as_json=as_json)
            return
    queue = None if dry_run else _queue(deployment)
    watch: Watch | None = None
    try:
        with Steps(errors if as_json else console) as steps:
            found = source.get(steps, exports)
            if queue is not None:
                watch = Watch(exports, found, stores)
                _load(steps, watch, queue, stores, into, wait=wait)
                if wait:
                    _wait(steps, watch, queue, source)
    except KeyboardInterrupt:
        if watch is None:  # else the report says how to go on
            errors.print(in_markup(source.hint), highlight=False, soft_wrap=True)
        raise
    finally:
        show(source, watch, stores, dry_run=dry_run, as_json=as_json, bulk=into.phase if into else None)
    lacking = watch is not None and wait and not watch.done
    if lacking or (source.report and source.report.odd) or (watch and any(watch.refused.values())):
        raise typer.Exit(EXIT_UNHEALTHY)


def _stores(sink: list[Consumer] | None) -> list[Consumer]:
    stores = sink or [Consumer.POSTGRES, Consumer.DYNAMODB]
    if Consumer.REFRESH in stores:
        raise typer.BadParameter("--sink postgres, --sink dynamodb or both")
    return stores


def _require_fitting(from_file: Path | None, resume: str | None, *, others: bool) -> None:
    if from_file is not None and resume is not None:
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


def _table(deployment: str, stores: Sequence[Consumer], *, dry_run: bool) -> Table:
    if Consumer.DYNAMODB not in stores:
        raise typer.BadParameter("--bulk loads into DynamoDB")
    if dry_run:
        raise typer.BadParameter("--dry-run tells the cost without --bulk; this command knows no price of a bulk put")
    return Table(deployment)


def _load(
    steps: Progress, watch: Watch, queue: Queue, stores: Sequence[Consumer], into: Table | None, *, wait: bool
) -> None:
    """Send the tasks of the slices without a result; with ``into``, only those of users whom a bulk put leaves."""
    watch.look()
    put = into.bulk_put(steps, watch) if into and watch.missing(Consumer.DYNAMODB) else None
    at_once = [store for store in stores if not (put and store is Consumer.DYNAMODB)]
    _send(steps, queue, [task for store in at_once for task in _tasks(watch, store)])
    if into and put and wait:
        _send(steps, queue, into.rest(steps, put, watch.missing(Consumer.DYNAMODB)))
        watch.look()


def _tasks(watch: Watch, store: str) -> list[Task]:
    """Return the tasks of the slices without a result in a store."""
    return [Task(watch.cut.export, number, store) for number in watch.missing(store)]


def _send(steps: Progress, queue: Queue, tasks: Sequence[Task]) -> None:
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


def _wait(steps: Progress, watch: Watch, queue: Queue, source: Source) -> None:
    sqs = boto3.client("sqs", config=client_config())
    _follow(steps, watch, partial(_is_busy, sqs, queue.url))
    if watch.done:
        source.end()


def _is_busy(sqs: "SQSClient", url: str) -> bool:
    left = waiting(sqs, url)
    return left.visible + left.hidden > 0
