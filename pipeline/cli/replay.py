"""Send events of the archive again, and events that Firehose could not archive."""

import base64
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import boto3
import typer

from pipeline.archive import replay as archive
from pipeline.cli import redrive
from pipeline.cli.app import NOT_AS_IT_SHOULD_BE, AsJson, DeploymentName, app, console, errors, print_json
from pipeline.cli.foreign import in_markup
from pipeline.cli.progress import Steps
from pipeline.delivery import Consumer, Queue, client_config

BUCKET = typer.Option(envvar="ARCHIVE_BUCKET", help="The archive's bucket.")


@app.command()
def replay(
    since: Annotated[str, typer.Option(help="First hour, by arrival, UTC: 2026-11-22, or 2026-11-22T08.")],
    deployment: DeploymentName,
    bucket: Annotated[str, BUCKET],
    prefix: Annotated[str, typer.Option(envvar="ARCHIVE_PREFIX", help="Prefix of the archive's objects.")],
    until: Annotated[str | None, typer.Option(help="Last hour; a date is the whole day. Default: now.")] = None,
    sink: Annotated[
        list[Consumer] | None, typer.Option(help="Whose queue; repeat for several. Default: postgres, dynamodb.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only events of this user id.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count; send nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send the user changes of the archive to the sinks' queues again; an event too large for a queue, to its function.

    Old events change nothing, so it can be stopped and run again. Exit code 3 if something was not taken.
    """
    try:
        start, end = archive.period(since, until, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    config = client_config(archive.THREADS)
    s3 = boto3.client("s3", config=config)
    sqs, lambda_ = boto3.client("sqs", config=config), boto3.client("lambda", config=config)
    targets = [Queue(sqs, lambda_, deployment, one) for one in sink or (Consumer.POSTGRES, Consumer.DYNAMODB)]
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
        straight = {target.consumer.value: target.invoked for target in targets if target.invoked}
        if as_json:
            print_json(vars(report) | {"invoked": straight})
        else:
            _print(report, straight, dry_run=dry_run)
    if report.refused:
        raise typer.Exit(NOT_AS_IT_SHOULD_BE)


def _progress(report: archive.Report) -> str:
    sent = sum(report.sent.values())
    rate = f", {sent / report.seconds:,.0f}/s" if sent and report.seconds else ""
    return f"{report.resume or ''} {report.events:,} events read, {sent:,} sent{rate}".strip()


def _print(report: archive.Report, straight: dict[str, int], *, dry_run: bool) -> None:
    console.print(f"{report.objects:,} objects, {report.events:,} events", highlight=False)
    for consumer, number in report.wanted.items():
        large = report.too_large[consumer]
        console.print(f"  for {consumer}: {number:,}" + (f", {large:,} over the queue's limit" if large else ""))
    for reason, number in report.unreadable.most_common():
        console.print(f"  [yellow]unreadable[/], {in_markup(reason)}: {number:,}", highlight=False)
    if dry_run:
        console.print("Nothing was sent: this was only a look.")
        return
    for consumer, number in report.sent.items():
        direct = straight.get(consumer)
        console.print(f"Sent to {consumer}: {number:,}" + (f", {direct:,} directly to its function" if direct else ""))
    for reason, number in report.refused.most_common():
        console.print(f"  [red]not taken[/], {in_markup(reason)}: {number:,}", highlight=False)
    if report.resume:
        console.print(f"It stopped before the end. Go on with: --since {report.resume}", highlight=False)


@app.command()
def rearchive(
    deployment: DeploymentName,
    bucket: Annotated[str, BUCKET],
    prefix: Annotated[str, typer.Option(envvar="ARCHIVE_ERROR_PREFIX", help="Where Firehose put what failed.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count; send and delete nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send what Firehose could not archive to the delivery stream again, and delete each object that was taken.

    Exit code 3 if something was not taken; its object stays.
    """
    s3: Any = boto3.client("s3")
    send = redrive.to_firehose(boto3.client("firehose"), f"{deployment}-archive")
    objects, events, sent, codes, refused = 0, 0, 0, Counter[str](), Counter[str]()
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for key in [one["Key"] for one in page.get("Contents", [])]:
            failed = [json.loads(line) for line in archive.lines(s3, bucket, key)]
            objects += 1
            events += len(failed)
            codes.update(str(one.get("errorCode", "unknown")) for one in failed)
            if dry_run:
                continue
            reasons = [reason for batch in _batches(failed) for reason in send(batch).values()]
            sent += len(failed) - len(reasons)
            refused.update(reasons)
            if not reasons:
                s3.delete_object(Bucket=bucket, Key=key)
    if as_json:
        print_json({"objects": objects, "events": events, "sent": sent, "codes": codes, "refused": refused})
    else:
        console.print(f"{objects:,} objects under {prefix}, {events:,} events", highlight=False)
        for code, number in codes.most_common():
            console.print(f"  failed because of {in_markup(code)}: {number:,}", highlight=False)
        console.print(
            "Nothing was sent: this was only a look." if dry_run else f"Sent to {deployment}-archive: {sent:,}"
        )
        for reason, number in refused.most_common():
            console.print(f"  [red]not taken[/], {in_markup(reason)}: {number:,}", highlight=False)
    if refused:
        raise typer.Exit(NOT_AS_IT_SHOULD_BE)


def _batches(failed: list[dict[str, Any]]) -> Iterator[list[str]]:
    """Return the events of Firehose's error records, three at a time: a request takes 4 MiB, a record 1,000 KiB."""
    bodies = [base64.b64decode(one["rawData"]).decode(errors="replace").rstrip("\n") for one in failed]
    return (bodies[start : start + 3] for start in range(0, len(bodies), 3))
