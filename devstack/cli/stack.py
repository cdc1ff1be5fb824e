"""The embedded stack: up, down, status."""

from dataclasses import asdict

import typer

from devstack import stack
from devstack.trouble import reported
from pipeline.cli.app import EXIT_UNHEALTHY, AsJson, app, print_json
from pipeline.cli.progress import Steps
from pipeline.cli.terminal import console


@app.command()
def up() -> None:
    """Start the embedded stack: Postgres and an AWS emulator on loopback, with the real Terraform applied."""
    with reported(stack.DIRECTORY, "make up"), Steps(console) as steps:
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
    """Print which parts of the embedded stack run. Exit code 3 if it cannot be used."""
    found = stack.status()
    if as_json:
        print_json(asdict(found))
    else:
        for name in ("postgres", "emulator", "ready"):
            console.print(f"{name:<10} {'[green]yes[/]' if getattr(found, name) else '[red]no[/]'}")
    if not found.ready:
        raise typer.Exit(EXIT_UNHEALTHY)
