"""List the messages that a function gave up, put them back into their queue, or delete them."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import boto3
import typer
from rich.table import Table

from pipeline.changes import read
from pipeline.cli.app import NOT_AS_IT_SHOULD_BE, AsJson, DeploymentName, app, console, print_json
from pipeline.cli.foreign import cell, in_markup
from pipeline.cli.logs import log_lines
from pipeline.delivery import Consumer, DeadLetters, Queue, queue_url
from pipeline.errors import Poison
from pipeline.events import event_type

SHOWN = 100
"""Messages that are listed, if nobody says how many."""
ROUND = 500
"""Messages whose reasons are looked up in the log at once."""
BATCH_FAILED = "BatchFailed"
"""The reason of a message that can be read and that the log does not name: its whole batch failed, each time."""
LOGGED = '{ $.message = "message not stored" || $.message = "message not refreshed" }'


@dataclass(frozen=True)
class Failed:
    """A message that was given up. ``users`` is empty unless asked for: it is personal data."""

    id: str
    reason: str
    type: str
    bytes: int
    sent: datetime
    received: int
    """How often the function got it."""
    users: list[str]


@app.command()
def failed(
    consumer: Annotated[Consumer, typer.Argument(help="Whose messages.")],
    deployment: DeploymentName,
    put_back: Annotated[bool, typer.Option("--put-back", help="Send them to their queue again.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete them; wants --reason or --id.")] = False,
    reason: Annotated[list[str] | None, typer.Option(help="Only these reasons; repeat for several.")] = None,
    message_id: Annotated[list[str] | None, typer.Option("--id", help="Only these message ids.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Look at no more than this; 100 for a list.")] = None,
    users: Annotated[bool, typer.Option("--users", help="Show user ids, which are personal data.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the messages that a function gave up, with the reason; put them back, or delete them.

    Exit code 3 if a message that was to be put back or deleted is still there.
    """
    if put_back and delete:
        raise typer.BadParameter("either --put-back or --delete")
    if delete and not (reason or message_id):
        raise typer.BadParameter("--delete wants --reason or --id: say which messages nobody needs")
    sqs: Any = boto3.client("sqs")
    name = f"{deployment}-{consumer}-failed"
    found: list[Failed] = []
    done, left = 0, Counter[str]()
    with DeadLetters(sqs, queue_url(sqs, name)) as letters:
        target = Queue(sqs, boto3.client("lambda"), deployment, consumer)
        for messages in _rounds(letters, limit or (None if put_back or delete else SHOWN)):
            described = _describe(messages, f"/aws/lambda/{deployment}-{consumer.function}", users=users)
            chosen = {
                one.id: one
                for one in described
                if one.reason in (reason or [one.reason]) and one.id in (message_id or [one.id])
            }
            found += chosen.values()
            if not (put_back or delete):
                continue
            taken = [message for message in messages if message["MessageId"] in chosen]
            if put_back:
                refused = target.send([message["Body"] for message in taken])
                left.update(refused.values())
                taken = [message for place, message in enumerate(taken) if place not in refused]
            gone = letters.delete(taken)
            done += gone
            left.update({"NotDeleted": len(taken) - gone} if gone < len(taken) else {})
    action = "put back" if put_back else "deleted" if delete else None
    if as_json:
        print_json({"messages": [asdict(one) for one in found], "action": action, "done": done, "refused": left})
    else:
        _print(name, found, users=users)
        if action:
            console.print(f"{action.capitalize()}: {done:,}", highlight=False)
        for why, number in left.most_common():
            console.print(f"  [red]still there[/], {in_markup(why)}: {number:,}", highlight=False)
    if left:
        raise typer.Exit(NOT_AS_IT_SHOULD_BE)


def _rounds(letters: DeadLetters, limit: int | None) -> Iterator[list[Any]]:
    gathered: list[Any] = []
    for messages in letters.batches(limit):
        gathered += messages
        if len(gathered) >= ROUND:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


def _describe(messages: Sequence[Any], group: str, *, users: bool) -> list[Failed]:
    unreadable, named = {}, {}
    for message in messages:
        try:
            named[message["MessageId"]] = read(message["Body"])
        except Poison as error:
            unreadable[message["MessageId"]] = error.reason
    logged = _logged(group, [message for message in messages if message["MessageId"] in named])
    return [
        Failed(
            name := message["MessageId"],
            unreadable.get(name) or logged.get(name, BATCH_FAILED),
            _type(message["Body"]),
            len(message["Body"].encode()),
            datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
            int(message["Attributes"]["ApproximateReceiveCount"]) - 1,
            sorted({one.user_id for one in named.get(name, ()) if hasattr(one, "user_id")}) if users else [],
        )
        for message in messages
    ]


def _logged(group: str, messages: Sequence[Any]) -> dict[str, str]:
    """Return the reasons that the function's log gives for messages, by message id."""
    wanted = {message["MessageId"] for message in messages}
    found: dict[str, str] = {}
    if not wanted:
        return found
    client: Any = boto3.client("logs")
    since = min(int(message["Attributes"]["SentTimestamp"]) for message in messages) / 1000
    with suppress(client.exceptions.ResourceNotFoundException):
        for line in log_lines(client, group, since, LOGGED):
            entry = json.loads(line)
            if entry["message_id"] in wanted:
                found[entry["message_id"]] = entry["reason"]
            if len(found) == len(wanted):
                break
    return found


def _type(body: str) -> str:
    try:
        return event_type(body) or "unknown"
    except Poison:
        return "unknown"


def _print(name: str, found: Sequence[Failed], *, users: bool) -> None:
    console.print(f"{name}: {len(found):,} messages looked at", highlight=False)
    for reason, number in Counter(one.reason for one in found).most_common():
        console.print(f"  {in_markup(reason)}: {number:,}", highlight=False)
    table = Table("message id", "reason", "type", "bytes", "sent (UTC)", "tries", box=None, header_style="bold")
    if users:
        table.add_column("users")
    for one in found[:SHOWN]:
        row = [one.id, one.reason, one.type, f"{one.bytes:,}", f"{one.sent:%Y-%m-%d %H:%M}", str(one.received)]
        table.add_row(*map(cell, row), *([cell(", ".join(one.users))] if users else []))
    if found:
        console.print(table)
