"""Print realistic Auth0 events, any number of them."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from devstack.traffic import DEFAULT_SOURCE, envelope, generate
from pipeline.cli.app import app
from pipeline.cli.terminal import echo


@app.command()
def events(
    count: Annotated[int, typer.Argument(help="How many events.", min=1)] = 300,
    users: Annotated[int, typer.Option(help="How many users they are about.", min=1)] = 40,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events.")] = 7,
    malformed: Annotated[int, typer.Option(help="How many of them cannot be read.", min=0)] = 0,
    start: Annotated[
        datetime | None, typer.Option(help="When the first one happened, such as 2026-01-15; UTC.")
    ] = None,
    source: Annotated[str, typer.Option(help="The partner event source.")] = DEFAULT_SOURCE,
) -> None:
    """Print realistic Auth0 events as EventBridge delivers them, one JSON document per line."""
    if start is not None and start.tzinfo is None:
        start = start.replace(tzinfo=UTC)
    for event in generate(count, users, seed, start=start, malformed=malformed):
        echo(json.dumps(envelope(event, source), ensure_ascii=False, separators=(",", ":")))
