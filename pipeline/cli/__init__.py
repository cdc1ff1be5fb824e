"""The ``auth0-sync`` command: one file per group of commands.

Exit codes: 0 the command succeeded; 1 it failed, and the message gives the cause; 2 the command line was wrong;
3 it succeeded, and found that something is wrong; 4 there is no such user; 5 the query took longer than --timeout.
"""

import sys

from pipeline.cli import aws, commands
from pipeline.cli.app import app
from pipeline.cli.terminal import print_bug, print_error

__all__ = ["app", "main"]


def main() -> None:
    """Run the command; print errors that are for the reader without a traceback, and those of bugs with one."""
    commands.prepare = aws.prepare
    try:
        app()
    except Exception as error:  # noqa: BLE001 - each is printed, a bug with its traceback
        from pipeline.cli import failures

        said = failures.message(error)
        if said is None:
            print_bug(error)
        else:
            print_error(said)
        sys.exit(failures.exit_code(error))
