"""The embedded stack: up, down, status, env; and the functions' logs."""

import os
import shlex
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import boto3
import typer

from pipeline.cli.app import NOT_AS_IT_SHOULD_BE, AsJson, app, console, print_json
from pipeline.cli.deploy import deployed
from pipeline.cli.progress import Steps
from pipeline.deploy import shell
from pipeline.errors import BadSettings
from pipeline.local import stack


@app.command()
def up() -> None:
    """Start the embedded stack: Postgres and an AWS emulator on loopback, with the real Terraform applied."""
    with Steps(console) as steps:
        running = stack.up(steps)
    console.print(f"\nUp: AWS at {running.endpoint}, Postgres at {running.database_url}", highlight=False)
    console.print('To use it from this shell: [bold]eval "$(.venv/bin/auth0-sync env)"[/]', highlight=False)


@app.command()
def down() -> None:
    """Stop the embedded stack and delete its data; nothing is left running."""
    with Steps(console) as steps:
        stack.down(progress=steps)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say what of the embedded stack runs. Exit code 3 if it cannot be used."""
    found = stack.status()
    if as_json:
        print_json(asdict(found))
    else:
        for name in ("postgres", "emulator", "ready"):
            console.print(f"{name:<10} {'[green]yes[/]' if getattr(found, name) else '[red]no[/]'}")
    if not found.ready:
        raise typer.Exit(NOT_AS_IT_SHOULD_BE)


@app.command()
def env(
    environment: Annotated[
        str | None, typer.Option("--env", help="A deployment in AWS; without it, the embedded stack.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the variables that point this command, the AWS CLI and psql at the embedded stack, or at a deployment."""
    hidden: tuple[str, ...] = ()
    if environment is None:
        variables = stack.environment(stack.current())
    else:
        hides = shell.STACK if shell.uses_stack(os.environ) else ()  # a state in S3 is not in the emulator
        kept = {name: os.environ.pop(name) for name in hides if name in os.environ}
        try:
            outputs = deployed(environment)
        finally:
            os.environ |= kept
        variables, hidden = shell.variables(outputs), shell.hidden(outputs, os.environ)
    if as_json:
        print_json(variables)
        return
    for name in hidden:
        typer.echo(f"unset {name}")
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


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
    deployment: Annotated[
        str | None, typer.Option(envvar="DEPLOYMENT", help="A deployment in AWS; without it, the embedded stack.")
    ] = None,
) -> None:
    """Print a function's log, a line each."""
    if deployment:
        client: Any = boto3.client("logs")
        group = f"/aws/kinesisfirehose/{deployment}-archive"
        if function != "firehose":
            group = f"/aws/lambda/{deployment}-{function}"
    else:
        running = stack.current()
        groups = running.outputs["log_group_names"]
        if function not in groups:
            raise typer.BadParameter(f"there are {', '.join(groups)}", param_hint="function")
        client, group = running.client("logs"), groups[function]
    if only_errors:
        pattern = '{ $.level = "ERROR" }'
    try:
        for message in log_lines(client, group, time.time() - minutes * 60, pattern):
            typer.echo(message)
    except client.exceptions.ResourceNotFoundException:
        raise BadSettings(f"there is no log group {group} in this account and region") from None


def log_lines(client: Any, group: str, since: float, pattern: str = "") -> Iterator[str]:
    """Return the lines of a log group that match ``pattern``, from the time ``since``."""
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=group, startTime=int(since * 1000), filterPattern=pattern
    )
    return (event["message"].rstrip("\n") for page in pages for event in page["events"])
