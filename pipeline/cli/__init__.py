"""The ``auth0-sync`` command: one file per group of commands.

Exit codes: 0 done; 1 it could not be done, and the message says why; 2 the command line was wrong;
3 it was done, and the answer is that something is not as it should be;
4 there is no such user.
"""

import sys

from rich.text import Text

from pipeline.cli import commands
from pipeline.cli.app import app, errors
from pipeline.cli.foreign import plain

__all__ = ["app", "main"]


def main() -> None:
    """Run the command; errors that are for the reader are printed without a traceback."""
    commands.prepare = _prepare
    try:
        app()
    except Exception as error:
        from pipeline.cli import failures

        said = failures.message(error)
        if said is None:
            raise
        errors.print("[bold red]error:[/]", Text(plain(said, keep="\n")), highlight=False, soft_wrap=True)
        sys.exit(1)


def _prepare() -> None:
    from pipeline.cli import failures

    failures.wait_for_aws_as_people_do()
