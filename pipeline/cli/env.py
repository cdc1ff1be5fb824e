"""The variables that point a shell at a deployment, or at the stack on this machine."""

import os
import shlex
from typing import Annotated

import typer

from pipeline.cli import local
from pipeline.cli.app import AsJson, app, print_json
from pipeline.cli.deploy import deployed
from pipeline.deploy import shell


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
        variables = local.stack().environment()
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
