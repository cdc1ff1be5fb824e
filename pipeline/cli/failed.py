"""List the messages of a target's dead-letter queues, put them back, or delete them."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Any

import boto3
import typer

from pipeline.cli.app import EXIT_UNHEALTHY, AsCsv, AsJson, DeploymentName, app, print_json
from pipeline.cli.logs import log_lines
from pipeline.cli.rows import require_one, show
from pipeline.cli.terminal import console, errors, in_markup
from pipeline.delivery.dead_letters import DeadLetters, Waiting, waiting
from pipeline.delivery.failed import Choice, Failed, Reasons, Report, by_log, find, given_up, undelivered
from pipeline.delivery.targets import client_config, queue_url
from pipeline.delivery.undelivered import FORWARDED, Target, destination
from pipeline.query import Result

SHOWN = 100
"""Messages to list by default."""


@dataclass(frozen=True)
class _Found:
    """A dead-letter queue, its messages before the command, and the command's result."""

    queue: str
    before: Waiting
    report: Report


@app.command()
def failed(
    target: Annotated[Target, typer.Argument(help="Whose messages; the streams': those of source_region.")],
    deployment: DeploymentName,
    put_back: Annotated[bool, typer.Option("--put-back", help="Send them to where they belong again.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete them; wants --reason or --id.")] = False,
    reason: Annotated[list[str] | None, typer.Option(help="Only this reason; repeat for several.")] = None,
    message_id: Annotated[list[str] | None, typer.Option("--id", help="Only this id; repeat for several.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most messages to read; 100 for a list.")] = None,
    users: Annotated[bool, typer.Option("--users", help="Show user ids, which are personal data.")] = False,
    source_region: Annotated[
        str | None, typer.Option(envvar="SOURCE_REGION", help="For the streams: the region of Auth0's event sources.")
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List the messages that a function or EventBridge gave up, with the reason; put them back, or delete them.

    Exit code 3 if a message could not be put back or deleted, or is hidden. Repeats do no harm: the sync drops
    duplicates.
    """
    require_one(as_json=as_json, as_csv=as_csv)
    _require_choice(put_back=put_back, delete=delete, chosen=bool(reason or message_id))
    sqs = source = boto3.client("sqs")
    if target in FORWARDED:
        if source_region is None:
            raise typer.BadParameter("the events of a stream are in another region, which has to be named")
        source = boto3.client("sqs", region_name=source_region)
    to = destination(sqs, boto3.client("lambda", config=client_config()), boto3.client("firehose"), deployment, target)
    most = limit or (None if put_back or delete else SHOWN)
    search = partial(
        find,
        choice=Choice(reason or (), message_id or ()),
        users=users,
        put_back=to if put_back else None,
        delete=delete,
    )
    found: list[_Found] = []
    for name, reasons in _queues(deployment, target):
        left = None if most is None else most - sum(len(one.report.messages) for one in found)
        found.append(_search(source, name, reasons, search, left))
    action = "put back" if put_back else "deleted" if delete else None
    if as_json:
        print_json(_as_json(found, action))
    else:
        _print(found, action, users=users, as_csv=as_csv)
    if not action and most is not None:
        _tell_of_more(sum(one.before.visible for one in found), most)
    for one in found:
        _tell_of_hidden(one)
    if any(one.report.refused or (action and one.before.hidden) for one in found):
        raise typer.Exit(EXIT_UNHEALTHY)


def _queues(deployment: str, target: Target) -> Iterator[tuple[str, Reasons]]:
    """Return the names of a target's dead-letter queues, each with the function that finds its messages' reasons."""
    if target.consumer is not None:
        log = partial(_log, f"/aws/lambda/{deployment}-{target.consumer.function}")
        yield f"{deployment}-{target}-failed", partial(given_up, log)
    if target is Target.BACKFILL:  # which gets its messages from a command
        yield f"{deployment}-{target}-failed", partial(by_log, partial(_log, f"/aws/lambda/{deployment}-{target}"))
        return
    yield f"{deployment}-{target}-undelivered", undelivered


def _search(sqs: Any, name: str, reasons: Reasons, search: Callable[..., Report], limit: int | None) -> _Found:
    url = queue_url(sqs, name)
    before = waiting(sqs, url)
    if limit == 0:
        return _Found(name, before, Report())
    with DeadLetters(sqs, url) as letters:
        return _Found(name, before, search(letters, reasons, limit=limit))


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


def _as_json(found: Sequence[_Found], action: str | None) -> dict[str, Any]:
    return {
        "messages": [{"queue": one.queue} | asdict(message) for one in found for message in one.report.messages],
        "action": action,
        "done": sum(one.report.done for one in found),
        "refused": sum((one.report.refused for one in found), Counter()),
        "hidden": {
            one.queue: {"messages": one.before.hidden, "until": one.before.until} for one in found if one.before.hidden
        },
    }


def _print(found: Sequence[_Found], action: str | None, *, users: bool, as_csv: bool) -> None:
    for one in found if not as_csv else ():
        console.print(f"{in_markup(one.queue)}: {len(one.report.messages):,} messages", highlight=False)
        for field in ("reason", "rule"):
            counts = Counter(getattr(message, field) for message in one.report.messages)
            for value, number in counts.most_common() if any(counts) else ():
                console.print(f"  {'rule ' if field == 'rule' else ''}{in_markup(value)}: {number:,}", highlight=False)
    messages = [(one, message) for one in found for message in one.report.messages]
    shown = messages[:SHOWN] if action and not as_csv else messages
    columns = ("queue", "message id", "reason", "type", "bytes", "sent (UTC)", "tries", *(["users"] if users else []))
    rows = [_row(one.queue, message, users=users) for one, message in shown]
    if rows or as_csv:
        show(Result(columns, rows), as_csv=as_csv)
    if len(shown) < len(messages):
        errors.print(f"[yellow]{len(shown):,} of {len(messages):,} are listed;[/] --json and --csv list all of them.")
    to = errors if as_csv else console
    if action:
        to.print(f"{action.capitalize()}: {sum(one.report.done for one in found):,}", highlight=False)
    for one in found:
        for why, number in one.report.refused.most_common():
            to.print(f"  [red]still there[/], {in_markup(why)}: {number:,}", highlight=False)


def _row(queue: str, message: Failed, *, users: bool) -> tuple[Any, ...]:
    kind = queue.rpartition("-")[2]
    row = (kind, message.id, message.reason, message.type, message.bytes, f"{message.sent:%Y-%m-%d %H:%M}")
    return (*row, message.received, *([", ".join(message.users)] if users else []))


def _tell_of_more(there: int, most: int) -> None:
    if there > most:
        errors.print(
            f"[yellow]{most:,} of about {there:,} messages: --limit {most} cut the list.[/] For more, give a higher "
            "--limit.",
            highlight=False,
            soft_wrap=True,
        )


def _tell_of_hidden(one: _Found) -> None:
    if one.before.hidden:
        errors.print(
            f"[yellow]{one.queue}: about {one.before.hidden:,} more messages are hidden until "
            f"{one.before.until:%H:%M:%S} UTC at the latest:[/] another run has received them, or was killed. Run this "
            "again then.",
            highlight=False,
            soft_wrap=True,
        )
