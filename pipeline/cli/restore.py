"""Send the users of a Postgres to the queue of a sink whose store lacks them."""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from pipeline.cli.app import EXIT_UNHEALTHY, AsJson, DeploymentName, app, print_json
from pipeline.cli.progress import Steps
from pipeline.cli.sending import open_queues, show_refused
from pipeline.cli.sql import ask
from pipeline.cli.terminal import console, errors
from pipeline.data_api import TooLarge
from pipeline.delivery.consumers import Storing
from pipeline.delivery.envelope import StoredUser, stored_user
from pipeline.delivery.errors import cause
from pipeline.delivery.queue import BATCH_MESSAGES

PAGE: Final = 200
"""Users of one statement; fewer if they exceed what the Data API returns, 1 MiB."""


@app.command()
def restore(
    sink: Annotated[Storing, typer.Argument(help="Whose queue.")],
    deployment: DeploymentName,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also replace rows of the same version, such as ones changed by hand.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count; send nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send every user of a Postgres, such as a restored cluster, to the queue of a sink.

    Reads the variables of `sql`. Users keep their versions: rows of the same or a newer version stay as they are. Exit
    code 3 if a user was not taken; run it again.
    """
    target = open_queues(deployment, [sink])[sink]
    users = sent = 0
    refused = Counter[str]()
    with Steps(errors if as_json else console) as steps, steps.step("Users") as step:
        for bodies in _batches(overwrite=overwrite):
            users += len(bodies)
            if not dry_run:
                failed = target.send(bodies).failed
                sent += len(bodies) - len(failed)
                refused.update(cause(error) for error in failed.values())
            step.update(f"{users:,} read, {sent:,} sent")
    if as_json:
        print_json({"users": users, "sent": sent, "refused": refused})
    else:
        show_refused(refused)
    if refused:
        raise typer.Exit(EXIT_UNHEALTHY)


def _batches(*, overwrite: bool) -> Iterator[list[str]]:
    """Yield messages about all users, deleted ones included."""
    after = ""
    while rows := _page(after):
        bodies = [stored_user("restore", StoredUser(*row), overwrite=overwrite) for row in rows]
        yield from (bodies[start : start + BATCH_MESSAGES] for start in range(0, len(bodies), BATCH_MESSAGES))
        after = rows[-1][0]


def _page(after: str) -> list[tuple[Any, ...]]:
    # In hexadecimal: the Data API looks for parameters in the statement's text.
    encoded = after.encode().hex()
    size = PAGE
    while True:
        try:
            return ask(
                "SELECT user_id, version, source, event_id, deleted_at IS NOT NULL, profile::text, carried::text "  # noqa: S608 - hexadecimal, and a number
                f"FROM auth0.users WHERE user_id > convert_from(decode('{encoded}', 'hex'), 'UTF8') "
                f"ORDER BY user_id LIMIT {size}"
            ).rows
        except TooLarge:
            if size == 1:
                raise
            size = max(size // 4, 1)
