"""The ``auth0-sync`` command: one file per group of commands.

Exit codes: 0 done; 1 it could not be done, and the message says why; 2 the command line was wrong;
3 it was done, and the answer is that something is not as it should be.
"""

import sys

from rich.markup import escape

from pipeline.cli.app import app, errors
from pipeline.errors import CommandError, SyncError

__all__ = ["app", "main"]


def main() -> None:
    """Run the command; errors that are for the reader are printed without a traceback."""
    try:
        app()
    except (SyncError, CommandError) as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
