"""Send the users of a Postgres to the queue of a sink whose store lacks them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import boto3
import typer

from pipeline.auth0 import envelope
from pipeline.cli.app import NOT_AS_IT_SHOULD_BE, AsJson, DeploymentName, app, console, errors, print_json
from pipeline.cli.progress import Steps
from pipeline.cli.sql import ask
from pipeline.data_api import TooLarge
from pipeline.delivery import BATCH, Consumer, Queue, client_config

PAGE = 200
"""Users of one statement; fewer if they exceed what the Data API returns, 1 MiB."""


@app.command()
def restore(
    sink: Annotated[Consumer, typer.Argument(help="Whose queue: postgres or dynamodb.")],
    deployment: DeploymentName,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count; send nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send every user of a Postgres, such as a restored cluster, to the queue of a sink.

    Reads the variables of `sql`. What has changed in Auth0 since stays as it is. Exit code 3 if something was not
    taken; run it again.
    """
    if sink is Consumer.REFRESH:
        raise typer.BadParameter("postgres or dynamodb")
    config = client_config(1)
    target = Queue(boto3.client("sqs", config=config), boto3.client("lambda", config=config), deployment, sink)
    users = sent = 0
    refused: dict[str, int] = {}
    with Steps(errors if as_json else console) as steps, steps.step("Users") as step:
        for bodies in _batches(datetime.now(UTC)):
            users += len(bodies)
            if not dry_run:
                reasons = target.send(bodies)
                sent += len(bodies) - len(reasons)
                for reason in reasons.values():
                    refused[reason] = refused.get(reason, 0) + 1
            step.update(f"{users:,} read, {sent:,} sent")
    if as_json:
        print_json({"users": users, "sent": sent, "refused": refused})
    for reason, number in ({} if as_json else refused).items():
        console.print(f"  [red]not taken[/], {reason}: {number:,}", highlight=False)
    if refused:
        raise typer.Exit(NOT_AS_IT_SHOULD_BE)


def _batches(now: datetime) -> Iterator[list[str]]:
    """Return messages about all users, those that were deleted included, as the refresh would send them."""
    after = ""
    while rows := _page(after):
        bodies = [_message(user_id, profile, deleted_at, now) for user_id, profile, deleted_at in rows]
        yield from (bodies[start : start + BATCH] for start in range(0, len(bodies), BATCH))
        after = rows[-1][0]


def _page(after: str) -> list[tuple[Any, ...]]:
    # In hexadecimal, whatever is in it: the statement is one text, in which the Data API looks for parameters.
    encoded = after.encode().hex()
    size = PAGE
    while True:
        try:
            return ask(
                "SELECT user_id, profile::text, deleted_at FROM auth0.users "  # noqa: S608 - hexadecimal, and a number
                f"WHERE user_id > convert_from(decode('{encoded}', 'hex'), 'UTF8') ORDER BY user_id LIMIT {size}"
            ).rows
        except TooLarge:
            if size == 1:
                raise
            size = max(size // 4, 1)


def _message(user_id: str, profile: str, deleted_at: datetime | None, now: datetime) -> str:
    return envelope.deleted(user_id, deleted_at) if deleted_at else envelope.updated(profile.encode(), now)
