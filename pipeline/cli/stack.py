"""The embedded stack: up, down, status, env, logs."""

import json
import shlex
from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.cli.app import NOT_AS_IT_SHOULD_BE, AsJson, app, console, print_json
from pipeline.cli.deploy import deployed
from pipeline.cli.progress import Steps
from pipeline.deploy import shell
from pipeline.local import stack
from pipeline.local.logs import log_events


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
        outputs = deployed(environment)
        variables, hidden = shell.variables(outputs), shell.hidden(outputs)
    if as_json:
        print_json(variables)
        return
    for name in hidden:
        typer.echo(f"unset {name}")
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def logs(
    function: Annotated[str, typer.Argument(help="sync-postgres, sync-dynamodb or migrate")] = "sync-postgres",
    minutes: Annotated[int, typer.Option(help="How far back.")] = 60,
) -> None:
    """Print a function's log from the embedded stack, a JSON document a line."""
    running = stack.current()
    groups = running.outputs["log_group_names"]
    if function not in groups:
        raise typer.BadParameter(f"there are {', '.join(groups)}", param_hint="function")
    for event in log_events(running, groups[function], minutes * 60):
        typer.echo(json.dumps(event, ensure_ascii=False) if isinstance(event, dict) else event)
