"""The functions' logs."""

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from pipeline.cli import aws, local
from pipeline.cli.app import app
from pipeline.cli.terminal import echo
from pipeline.errors import BadSettings


@app.command()
def logs(
    function: Annotated[
        str,
        typer.Argument(help="sync-postgres, sync-dynamodb, refresh, migrate, roles; or firehose for the archive's."),
    ] = "sync-postgres",
    minutes: Annotated[int, typer.Option(help="How far back.")] = 60,
    only_errors: Annotated[bool, typer.Option("--errors", help="Only lines of level ERROR.")] = False,
    pattern: Annotated[
        str, typer.Option("--filter", help="Only lines of this filter pattern of CloudWatch Logs.")
    ] = "",
    env: Annotated[str | None, typer.Option("--env", help="A deployment in AWS, by its environment.")] = None,
    deployment: Annotated[
        str | None,
        typer.Option(
            envvar="DEPLOYMENT", help="A deployment in AWS, by the prefix of its names; else the local stack."
        ),
    ] = None,
) -> None:
    """Print a function's log, a line each."""
    client: Any
    if deployment and not env:
        client = aws.client("logs")
        group = f"/aws/kinesisfirehose/{deployment}-archive"
        if function != "firehose":
            group = f"/aws/lambda/{deployment}-{function}"
    else:
        client, groups = _deployed(env) if env else _local()
        if function not in groups:
            raise typer.BadParameter(f"there are {', '.join(groups)}", param_hint="function")
        group = groups[function]
    if only_errors:
        pattern = '{ $.level = "ERROR" }'
    try:
        for message in log_lines(client, group, time.time() - minutes * 60, pattern):
            echo(message)
    except client.exceptions.ResourceNotFoundException:
        raise BadSettings(f"there is no log group {group} in this account and region") from None


def _deployed(env: str) -> tuple[Any, dict[str, str]]:
    """Return a client in the region of a deployment, and its log groups."""
    from pipeline.cli.deploy import deployed

    outputs = deployed(env)
    return aws.client("logs", region_name=outputs["region"]), outputs["log_group_names"]


def _local() -> tuple[Any, dict[str, str]]:
    """Return a client of the embedded stack, and its log groups."""
    running = local.stack().current()
    return running.client("logs"), running.outputs["log_group_names"]


def log_lines(client: Any, group: str, since: float, pattern: str = "") -> Iterator[str]:
    """Return the lines of a log group that match ``pattern``, from the time ``since``."""
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=group, startTime=int(since * 1000), filterPattern=pattern
    )
    return (event["message"].rstrip("\n") for page in pages for event in page["events"])
