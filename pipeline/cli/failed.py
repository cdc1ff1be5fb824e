"""List the messages that a function gave up, put them back into their queue, or delete them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import boto3
import typer

from pipeline.cli.app import EXIT_UNHEALTHY, AsCsv, AsJson, DeploymentName, app, console, errors, print_json
from pipeline.cli.foreign import in_markup
from pipeline.cli.logs import log_lines
from pipeline.cli.rows import require_one, show
from pipeline.delivery.dead_letters import DeadLetters
from pipeline.delivery.failed import Choice, Failed, find
from pipeline.delivery.targets import Consumer, client_config, open_queue, queue_url
from pipeline.query import Result

SHOWN = 100
"""Messages to list by default."""


@app.command()
def failed(
    consumer: Annotated[Consumer, typer.Argument(help="Whose messages.")],
    deployment: DeploymentName,
    put_back: Annotated[bool, typer.Option("--put-back", help="Send them to their queue again.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete them; wants --reason or --id.")] = False,
    reason: Annotated[list[str] | None, typer.Option(help="Only this reason; repeat for several.")] = None,
    message_id: Annotated[list[str] | None, typer.Option("--id", help="Only this id; repeat for several.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most messages to read; 100 for a list.")] = None,
    users: Annotated[bool, typer.Option("--users", help="Show user ids, which are personal data.")] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the messages that a function gave up, with the reason; put them back, or delete them.

    Exit code 3 if a message could not be put back or deleted.
    """
    require_one(as_json=as_json, as_csv=as_csv)
    _require_choice(put_back=put_back, delete=delete, chosen=bool(reason or message_id))
    sqs: Any = boto3.client("sqs")
    name = f"{deployment}-{consumer}-failed"
    most = limit or (None if put_back or delete else SHOWN)
    url = queue_url(sqs, name)
    with DeadLetters(sqs, url) as letters:
        target = open_queue(sqs, boto3.client("lambda", config=client_config()), deployment, consumer)
        report = find(
            letters,
            partial(_log, f"/aws/lambda/{deployment}-{consumer.function}"),
            Choice(reason or (), message_id or ()),
            limit=most,
            users=users,
            put_back=target if put_back else None,
            delete=delete,
        )
    action = "put back" if put_back else "deleted" if delete else None
    if as_json:
        messages = [asdict(one) for one in report.messages]
        print_json({"messages": messages, "action": action, "done": report.done, "refused": report.refused})
    else:
        _print(name, report.messages, action, users=users, as_csv=as_csv)
        to = errors if as_csv else console
        if action:
            to.print(f"{action.capitalize()}: {report.done:,}", highlight=False)
        for why, number in report.refused.most_common():
            to.print(f"  [red]still there[/], {in_markup(why)}: {number:,}", highlight=False)
    if not action and most is not None:
        _tell_of_more(sqs, url, most)
    if report.refused:
        raise typer.Exit(EXIT_UNHEALTHY)


def _require_choice(*, put_back: bool, delete: bool, chosen: bool) -> None:
    if put_back and delete:
        raise typer.BadParameter("either --put-back or --delete")
    if delete and not chosen:
        raise typer.BadParameter("--delete needs --reason or --id: name the messages to delete")


def _log(group: str, since: float, pattern: str) -> Iterator[str]:
    """Return the lines of a log group, or none if its function never ran."""
    logs: Any = boto3.client("logs")
    with suppress(logs.exceptions.ResourceNotFoundException):
        yield from log_lines(logs, group, since, pattern)


def _print(name: str, found: Sequence[Failed], action: str | None, *, users: bool, as_csv: bool) -> None:
    if not as_csv:
        console.print(f"{name}: {len(found):,} messages", highlight=False)
        for reason, number in Counter(one.reason for one in found).most_common():
            console.print(f"  {in_markup(reason)}: {number:,}", highlight=False)
    shown = found[:SHOWN] if action and not as_csv else found
    columns = ("message id", "reason", "type", "bytes", "sent (UTC)", "tries", *(["users"] if users else []))
    rows = [
        (one.id, one.reason, one.type, one.bytes, f"{one.sent:%Y-%m-%d %H:%M}", one.received)
        + ((", ".join(one.users),) if users else ())
        for one in shown
    ]
    if rows or as_csv:
        show(Result(columns, rows), as_csv=as_csv)
    if len(shown) < len(found):
        errors.print(f"[yellow]{len(shown):,} of {len(found):,} are listed;[/] --json and --csv list all of them.")


def _tell_of_more(sqs: Any, url: str, most: int) -> None:
    names = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible")]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    there = sum(int(attributes[name]) for name in names)
    if there > most:
        errors.print(
            f"[yellow]{most:,} of about {there:,} messages: --limit {most} cut the list.[/] For more, give a higher "
            "--limit.",
            highlight=False,
            soft_wrap=True,
        )
