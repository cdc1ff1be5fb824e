"""What EventBridge could not deliver, sent again.

SQS itself moves messages only out of dead-letter queues that belong to a queue; those of EventBridge's targets are none
of these, and nothing but Auth0 can put an event on its bus. So the event, which is the whole message, goes to where the
target would have put it.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import boto3
import typer

from pipeline.auth0 import queues
from pipeline.changes import read
from pipeline.cli.app import NOT_AS_IT_SHOULD_BE, AsJson, DeploymentName, app, console, print_json
from pipeline.cli.foreign import in_markup
from pipeline.delivery import Consumer, DeadLetters, queue_url
from pipeline.errors import BadSettings, Poison

if TYPE_CHECKING:
    from mypy_boto3_firehose import FirehoseClient
    from mypy_boto3_sqs import SQSClient

RECORD_BYTES, BATCH_RECORDS, BATCH_BYTES = 1000 << 10, 500, 4 << 20
"""What Firehose takes: a record, and a batch of them."""

Send = Callable[[Sequence[str]], Mapping[int, str]]
"""Sends bodies; the position of each that was not taken, and why."""


class Target(StrEnum):
    """Whose events are sent again."""

    POSTGRES = "postgres"
    DYNAMODB = "dynamodb"
    REFRESH = "refresh"
    ARCHIVE = "archive"
    LOG_STREAM = "log-stream"
    EVENT_STREAM = "event-stream"


RELAYED = (Target.LOG_STREAM, Target.EVENT_STREAM)
"""What could not be handed on from the region of Auth0's event sources: it is missing everywhere."""


@dataclass
class Report:
    """What was found in a dead-letter queue, and what became of it."""

    queue: str
    to: str
    found: int = 0
    sent: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """Why EventBridge gave the events up, such as ``SDK_CLIENT_ERROR``, to number."""
    rules: Counter[str] = field(default_factory=Counter)
    """Rule that matched to number."""
    refused: Counter[str] = field(default_factory=Counter)
    """Why events could not be sent now, to number."""


@app.command()
def redrive(
    target: Annotated[Target, typer.Argument(help="Whose events to send again. The streams': those of source_region.")],
    deployment: DeploymentName,
    source_region: Annotated[
        str | None, typer.Option(envvar="SOURCE_REGION", help="For the streams: the region of Auth0's event sources.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is there; send and delete nothing.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Send no more than this.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send again what EventBridge could not deliver to a queue or to the archive, and delete it once it is taken.

    Exit code 3 if something was not taken; it stays where it is. Twice does no harm: the sync knows duplicates.
    """
    name = f"{deployment}-{target}-undelivered"
    sqs, firehose = boto3.client("sqs"), boto3.client("firehose")
    if target in RELAYED:
        if source_region is None:
            raise typer.BadParameter("the events of a stream are in another region, which has to be named")
        source = boto3.client("sqs", region_name=source_region)
        sends = _everywhere(sqs, firehose, deployment)
    elif target == Target.ARCHIVE:
        source, sends = sqs, {f"{deployment}-{target}": to_firehose(firehose, f"{deployment}-{target}")}
    else:
        source, sends = sqs, {f"{deployment}-{target}": _to_queue(sqs, queue_url(sqs, f"{deployment}-{target}"))}
    report = Report(name, ", ".join(sends))
    move(source, queue_url(source, name), None if dry_run else _all(list(sends.values())), report, limit)
    if as_json:
        print_json(vars(report))
    else:
        _print(report, dry_run)
    if report.refused:
        raise typer.Exit(NOT_AS_IT_SHOULD_BE)


def move(sqs: "SQSClient", url: str, send: Send | None, report: Report, limit: int | None = None) -> None:
    """Send the messages of the queue ``url`` on, and delete each that was taken; without ``send``, only look.

    Stops at the end of the queue, at ``limit``, where a whole batch is refused, and where messages come round again.
    """
    with DeadLetters(sqs, url) as letters:
        for messages in letters.batches(limit):
            for message in messages:
                _describe(report, message)
            if send is None:
                continue
            refused = send([message["Body"] for message in messages])
            report.refused.update(refused.values())
            taken = [message for position, message in enumerate(messages) if position not in refused]
            if not taken:
                break
            letters.delete(taken)
            report.sent += len(taken)


def _describe(report: Report, message: Any) -> None:
    attributes = {name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()}
    report.found += 1
    report.errors[attributes.get("ERROR_CODE") or "unknown"] += 1
    report.rules[attributes.get("RULE_ARN", "").rpartition("/")[2] or "unknown"] += 1


def _to_queue(sqs: "SQSClient", url: str) -> Send:
    def send(bodies: Sequence[str]) -> Mapping[int, str]:
        failed = queues.send(sqs, url, [queues.Message(body) for body in bodies])
        return {position: error.reason for position, error in failed.items()}

    return send


def to_firehose(firehose: "FirehoseClient", stream: str) -> Send:
    """Return what sends bodies to a delivery stream."""

    def send(bodies: Sequence[str]) -> Mapping[int, str]:
        records = [body.encode() for body in bodies]
        # One record that is too large would have its whole batch refused.
        refused = {position: "RecordTooLarge" for position, data in enumerate(records) if len(data) > RECORD_BYTES}
        fitting = [position for position in range(len(records)) if position not in refused]
        for batch in queues.batches([len(records[position]) for position in fitting], BATCH_RECORDS, BATCH_BYTES):
            sent = [fitting[place] for place in batch]
            answer = firehose.put_record_batch(
                DeliveryStreamName=stream, Records=[{"Data": records[position]} for position in sent]
            )
            for position, one in zip(sent, answer["RequestResponses"], strict=True):
                if one.get("ErrorCode"):
                    refused[position] = one["ErrorCode"]
        return refused

    return send


def _everywhere(sqs: "SQSClient", firehose: "FirehoseClient", deployment: str) -> dict[str, Send]:
    """By name, where the events of a bus go. The sync ignores what is not for it; refresh would fetch at each login."""
    sends = {f"{deployment}-archive": to_firehose(firehose, f"{deployment}-archive")}
    for sink in (Target.POSTGRES, Target.DYNAMODB):
        sends[f"{deployment}-{sink}"] = _to_queue(sqs, queue_url(sqs, f"{deployment}-{sink}"))
    try:
        refresh = _to_queue(sqs, queue_url(sqs, f"{deployment}-{Target.REFRESH}"))
    except BadSettings:
        return sends  # it is off
    return sends | {f"{deployment}-{Target.REFRESH}": _if(_is_for_refresh, refresh)}


def _all(sends: Sequence[Send]) -> Send:
    """To each; what one does not take is not taken."""

    def send(bodies: Sequence[str]) -> Mapping[int, str]:
        refused: dict[int, str] = {}
        for one in sends:
            refused |= one(bodies)
        return refused

    return send


def _if(wanted: Callable[[str], bool], to: Send) -> Send:
    def send(bodies: Sequence[str]) -> Mapping[int, str]:
        chosen = [position for position, body in enumerate(bodies) if wanted(body)]
        refused = to([bodies[position] for position in chosen])
        return {chosen[place]: reason for place, reason in refused.items()}

    return send


def _is_for_refresh(body: str) -> bool:
    try:
        return Consumer.REFRESH.wants(read(body))
    except Poison:
        return False


def _print(report: Report, dry_run: bool) -> None:
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
