"""Send events of the archive again, and events that Firehose could not archive."""

from datetime import UTC, datetime
from typing import Annotated

import boto3
import typer

from pipeline import invocation
from pipeline.archive import erasures
from pipeline.archive import rearchive as error_objects
from pipeline.archive import replay as archive
from pipeline.cli.app import (
    EXIT_UNHEALTHY,
    ArchiveBucket,
    ArchivePrefix,
    AsJson,
    DeploymentName,
    ErrorPrefix,
    Recorder,
    app,
    print_json,
)
from pipeline.cli.progress import Steps
from pipeline.cli.sending import open_queues, show_outcome, show_refused
from pipeline.cli.terminal import console, errors, in_markup
from pipeline.delivery.consumers import SINKS, Consumer
from pipeline.delivery.stream import Stream
from pipeline.delivery.targets import client_config


@app.command()
def replay(
    since: Annotated[str, typer.Option(help="First hour, by arrival, UTC: 2026-11-22, or 2026-11-22T08.")],
    deployment: DeploymentName,
    bucket: ArchiveBucket,
    prefix: ArchivePrefix,
    until: Annotated[str | None, typer.Option(help="Last hour; a date is the whole day. Default: now.")] = None,
    sink: Annotated[
        list[Consumer] | None, typer.Option(help="The sink; repeat for several. Default: postgres, dynamodb.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only events of this user id.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count; send nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send the user changes of the archive to the sinks' queues again; an event too large for a queue, to its function.

    Old events change nothing, so you can stop it and run it again. Exit code 3 if an event was not taken.
    """
    try:
        start, end = archive.period(since, until, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    s3 = boto3.client("s3", config=client_config(archive.THREADS))
    targets = open_queues(deployment, sink or SINKS, archive.THREADS)
    report = archive.Report()
    try:
        with Steps(errors if as_json else console) as steps, steps.step("Replay") as step:
            archive.replay(
                s3,
                bucket,
                archive.keys(s3, bucket, prefix, start, end),
                targets,
                report,
                user_id=user,
                dry_run=dry_run,
                update=lambda now: step.update(_progress(now)),
            )
    finally:
        if as_json:
            print_json(vars(report))
        else:
            _print(report, dry_run=dry_run)
    if report.refused:
        raise typer.Exit(EXIT_UNHEALTHY)


def _progress(report: archive.Report) -> str:
    sent = sum(report.sent.values())
    rate = f", {sent / report.seconds:,.0f}/s" if sent and report.seconds else ""
    return f"{report.resume or ''} {report.events:,} events read, {sent:,} sent{rate}".strip()


def _print(report: archive.Report, *, dry_run: bool) -> None:
    console.print(f"{report.objects:,} objects, {report.events:,} events", highlight=False)
    for consumer, number in report.wanted.items():
        large = report.too_large[consumer]
        console.print(f"  for {consumer}: {number:,}" + (f", {large:,} over the queue's limit" if large else ""))
    for reason, number in report.unreadable.most_common():
        console.print(f"  [yellow]unreadable[/], {in_markup(reason)}: {number:,}", highlight=False)
    if dry_run:
        console.print("Nothing was sent: this was only a look.")
        return
    show_outcome(report)
    if report.resume:
        console.print(f"It stopped before the end. Go on with: --since {in_markup(report.resume)}", highlight=False)


@app.command()
def rearchive(
    deployment: DeploymentName,
    bucket: ArchiveBucket,
    prefix: ErrorPrefix,
    recorder: Recorder = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count; send and delete nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send events that Firehose could not archive to the delivery stream again, and delete each object that is taken.

    Exit code 3 if an event was not taken; its object stays.
    """
    name = f"{deployment}-archive"
    stream = Stream(boto3.client("firehose"), name)
    s3 = boto3.client("s3")
    record = erasures.recorder(invocation.client(s3.meta.region_name), recorder, reason="rearchived")
    report = error_objects.rearchive(s3, bucket, prefix, stream, record=record, dry_run=dry_run)
    if as_json:
        print_json(vars(report))
    else:
        console.print(
            f"{report.objects:,} objects under {in_markup(prefix)}, {report.events:,} events", highlight=False
        )
        for code, number in report.codes.most_common():
            console.print(f"  failed because of {in_markup(code)}: {number:,}", highlight=False)
        console.print(
            "Nothing was sent: this was only a look." if dry_run else f"Sent to {in_markup(name)}: {report.sent:,}"
        )
        show_refused(report.refused)
    if report.refused:
        raise typer.Exit(EXIT_UNHEALTHY)
