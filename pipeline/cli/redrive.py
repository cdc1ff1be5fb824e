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
from botocore.exceptions import ClientError

from pipeline.auth0 import queues
from pipeline.changes import Signal, read
from pipeline.cli.app import NOT_AS_IT_SHOULD_BE, AsJson, app, console, print_json
from pipeline.errors import BadSettings, Poison

if TYPE_CHECKING:
    from mypy_boto3_firehose import FirehoseClient
    from mypy_boto3_sqs import SQSClient

BATCH = 10
"""Messages that SQS gives at once, at most."""
HIDDEN = 300
"""Seconds in which nobody else gets a message that was read here; those that stay are shown again at the end."""
WAIT = 2
"""Seconds to wait for a message before the queue is believed to be empty: a short look does not ask all of SQS."""

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
    deployment: Annotated[
        str, typer.Option(envvar="DEPLOYMENT", help="Prefix of the deployment's names, such as auth0-sync-prod.")
    ],
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
        source, sends = sqs, {f"{deployment}-{target}": _to_firehose(firehose, f"{deployment}-{target}")}
    else:
        source, sends = sqs, {f"{deployment}-{target}": _to_queue(sqs, _url(sqs, f"{deployment}-{target}"))}
    report = Report(name, ", ".join(sends))
    move(source, _url(source, name), None if dry_run else _all(list(sends.values())), report, limit)
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
    kept: dict[str, str] = {}  # message id to receipt handle
    try:
        while limit is None or report.found < limit:
            answer = sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=BATCH if limit is None else min(BATCH, limit - report.found),
                MessageAttributeNames=["All"],
                VisibilityTimeout=HIDDEN,
                WaitTimeSeconds=WAIT,
            )
            again = [message for message in answer.get("Messages", []) if message["MessageId"] in kept]
            kept |= {message["MessageId"]: message["ReceiptHandle"] for message in again}
            messages = [message for message in answer.get("Messages", []) if message["MessageId"] not in kept]
            if not messages:
                break
            kept |= {message["MessageId"]: message["ReceiptHandle"] for message in messages}
            for message in messages:
                _describe(report, message)
            if send is None:
                continue
            refused = send([message["Body"] for message in messages])
            report.refused.update(refused.values())
            taken = [message for position, message in enumerate(messages) if position not in refused]
            for message in _deleted(sqs, url, taken):
                del kept[message["MessageId"]]
            report.sent += len(taken)
            if not taken:
                break
    finally:
        _show_again(sqs, url, list(kept.values()))


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


def _to_firehose(firehose: "FirehoseClient", stream: str) -> Send:
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
    sends = {f"{deployment}-archive": _to_firehose(firehose, f"{deployment}-archive")}
    for sink in (Target.POSTGRES, Target.DYNAMODB):
        sends[f"{deployment}-{sink}"] = _to_queue(sqs, _url(sqs, f"{deployment}-{sink}"))
    try:
        refresh = _to_queue(sqs, _url(sqs, f"{deployment}-{Target.REFRESH}"))
    except BadSettings:
        return sends  # it is off
    return sends | {f"{deployment}-{Target.REFRESH}": _if(_names_user, refresh)}


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


def _names_user(body: str) -> bool:
    """Whether the event is one after which a user has to be fetched; logins apart."""
    try:
        return any(isinstance(meaning, Signal) and meaning.cause != "s" for meaning in read(body))
    except Poison:
        return False


def _deleted(sqs: "SQSClient", url: str, messages: Sequence[Any]) -> list[Any]:
    """Delete messages; those that are gone. One that is not will be sent again by the next run."""
    if not messages:
        return []
    entries: Any = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages)]
    answer = sqs.delete_message_batch(QueueUrl=url, Entries=entries)
    return [messages[int(done["Id"])] for done in answer.get("Successful", [])]


def _show_again(sqs: "SQSClient", url: str, handles: Sequence[str]) -> None:
    for start in range(0, len(handles), BATCH):
        batch = handles[start : start + BATCH]
        entries: Any = [{"Id": str(n), "ReceiptHandle": one, "VisibilityTimeout": 0} for n, one in enumerate(batch)]
        sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)


def _url(sqs: "SQSClient", name: str) -> str:
    try:
        return sqs.get_queue_url(QueueName=name)["QueueUrl"]
    except ClientError as error:
        code = error.response["Error"]["Code"]  # of older and newer protocols
        if not code.endswith(("NonExistentQueue", "QueueDoesNotExist")):
            raise
        raise BadSettings(
            f"there is no queue {name} in this account and region; --deployment is the prefix of the names, such as "
            "auth0-sync-prod"
        ) from None


def _print(report: Report, dry_run: bool) -> None:
    console.print(f"{report.queue}: {report.found} events", highlight=False)
    for title, counts in (("given up because of", report.errors), ("by rule", report.rules)):
        for reason, number in counts.most_common():
            console.print(f"  {title} {reason}: {number}", highlight=False)
    if dry_run:
        console.print("Nothing was sent: this was only a look.")
        return
    console.print(f"Sent to {report.to}: {report.sent}", highlight=False)
    for reason, number in report.refused.most_common():
        console.print(f"  [red]not taken[/], {reason}: {number}", highlight=False)
