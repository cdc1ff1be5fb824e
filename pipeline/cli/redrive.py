"""Send events again that EventBridge could not deliver."""

from typing import Annotated

import boto3
import typer

from pipeline.cli.app import EXIT_UNHEALTHY, AsJson, DeploymentName, app, console, print_json
from pipeline.cli.foreign import in_markup
from pipeline.delivery import redrive as undelivered
from pipeline.delivery.redrive import FORWARDED, Target


@app.command()
def redrive(
    target: Annotated[Target, typer.Argument(help="Whose events to send; the streams': those of source_region.")],
    deployment: DeploymentName,
    source_region: Annotated[
        str | None, typer.Option(envvar="SOURCE_REGION", help="For the streams: the region of Auth0's event sources.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count; send and delete nothing.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Send no more than this.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send events that EventBridge could not deliver to a queue or the archive again, and delete those that are taken.

    Exit code 3 if an event was not taken; it stays where it is. Repeats do no harm: the sync drops duplicates.
    """
    source = sqs = boto3.client("sqs")
    if target in FORWARDED:
        if source_region is None:
            raise typer.BadParameter("the events of a stream are in another region, which has to be named")
        source = boto3.client("sqs", region_name=source_region)
    to = undelivered.targets(sqs, boto3.client("firehose"), deployment, target)
    report = undelivered.redrive(source, deployment, target, to, limit=limit, dry_run=dry_run)
    if as_json:
        print_json(vars(report))
    else:
        _print(report, dry_run)
    if report.refused:
        raise typer.Exit(EXIT_UNHEALTHY)


def _print(report: undelivered.Report, dry_run: bool) -> None:
    console.print(f"{report.queue}: {report.found} events", highlight=False)
    for title, counts in (("given up because of", report.errors), ("by rule", report.rules)):
        for reason, number in counts.most_common():
            console.print(f"  {title} {in_markup(reason)}: {number}", highlight=False)
    if dry_run:
        console.print("Nothing was sent: this was only a look.")
        return
    console.print(f"Sent to {report.to}: {report.sent}", highlight=False)
    for reason, number in report.refused.most_common():
        console.print(f"  [red]not taken[/], {in_markup(reason)}: {number}", highlight=False)
