"""List the messages that a function gave up, put them back into their queue, or delete them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import boto3
import typer
from rich.table import Table

from pipeline.cli.app import NOT_AS_IT_SHOULD_BE, AsJson, DeploymentName, app, console, print_json
from pipeline.cli.foreign import cell, in_markup
from pipeline.cli.logs import log_lines
from pipeline.delivery.dead_letters import DeadLetters
from pipeline.delivery.failed import Choice, Failed, find
from pipeline.delivery.targets import Consumer, client_config, open_queue, queue_url

SHOWN = 100
"""Messages that are listed, if nobody says how many."""


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
    with DeadLetters(sqs, queue_url(sqs, name)) as letters:
        target = open_queue(sqs, boto3.client("lambda", config=client_config()), deployment, consumer)
        report = find(
            letters,
            partial(_log, f"/aws/lambda/{deployment}-{consumer.function}"),
            Choice(reason or (), message_id or ()),
            limit=limit or (None if put_back or delete else SHOWN),
            users=users,
            put_back=target if put_back else None,
            delete=delete,
        )
    action = "put back" if put_back else "deleted" if delete else None
    if as_json:
        messages = [asdict(one) for one in report.messages]
        print_json({"messages": messages, "action": action, "done": report.done, "refused": report.refused})
    else:
        _print(name, report.messages, users=users)
        if action:
            console.print(f"{action.capitalize()}: {report.done:,}", highlight=False)
        for why, number in report.refused.most_common():
            console.print(f"  [red]still there[/], {in_markup(why)}: {number:,}", highlight=False)
    if report.refused:
        raise typer.Exit(NOT_AS_IT_SHOULD_BE)


def _log(group: str, since: float, pattern: str) -> Iterator[str]:
    """Return the lines of a log group, of which there are none before its function ran."""
    logs: Any = boto3.client("logs")
    with suppress(logs.exceptions.ResourceNotFoundException):
        yield from log_lines(logs, group, since, pattern)


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
