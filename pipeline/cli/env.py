"""Print the variables that point a shell at a deployment, or at the stack on this machine."""

import os
import shlex
from typing import Annotated

import typer

from pipeline.cli import local
from pipeline.cli.app import AsJson, app, print_json
from pipeline.cli.deploy import deployed
from pipeline.cli.terminal import echo
from pipeline.deploy import environment
from pipeline.foreign import plain


@app.command()
def env(
    name: Annotated[
        str | None, typer.Option("--env", help="A deployment in AWS; without it, the embedded stack.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the variables that point this command, the AWS CLI and psql at the embedded stack, or at a deployment."""
    hidden: tuple[str, ...] = ()
    if name is None:
        variables = local.stack().environment()
    else:
        hides = environment.STACK if environment.uses_stack(os.environ) else ()  # the emulator lacks a state in S3
        kept = {hide: os.environ.pop(hide) for hide in hides if hide in os.environ}
        try:
            outputs = deployed(name)
        finally:
            os.environ |= kept
        variables, hidden = environment.variables(outputs), environment.hidden(outputs, os.environ)
    if as_json:
        print_json(variables)
        return
    for variable in hidden:
        echo(f"unset {variable}")
    for variable, value in variables.items():
        echo(f"export {variable}={_quoted(value)}")


def _quoted(value: str) -> str:
    """Return a value for a shell; with invisible characters as bash and zsh write them, so that none is printed."""
    if plain(value) == value:
        return shlex.quote(value)
    return "$'" + "".join(f"\\x{byte:02x}" for byte in value.encode(errors="surrogateescape")) + "'"
