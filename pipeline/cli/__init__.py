"""The ``auth0-sync`` command: one file per group of commands.

Exit codes: 0 the command succeeded; 1 it failed, and the message gives the cause; 2 the command line was wrong;
3 it succeeded, and found that something is wrong; 4 there is no such user; 5 the query took longer than --timeout.
"""

import sys

from rich.text import Text

from pipeline.cli import aws, commands
from pipeline.cli.app import app, errors
from pipeline.cli.foreign import plain

__all__ = ["app", "main"]


def main() -> None:
    """Run the command; print errors that are for the reader without a traceback."""
    commands.prepare = aws.prepare
    try:
        app()
    except Exception as error:
        from pipeline.cli import failures

        said = failures.message(error)
        if said is None:
            raise
        errors.print("[bold red]error:[/]", Text(plain(said, keep="\n")), highlight=False, soft_wrap=True)
        sys.exit(failures.exit_code(error))
