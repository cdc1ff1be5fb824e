"""The ``auth0-sync`` command: one file per group of commands.

Exit codes: 0 done; 1 it could not be done, and the message says why; 2 the command line was wrong;
3 it was done, and the answer is that something is not as it should be.
"""

import sys

from pipeline.cli.app import app, errors
from pipeline.errors import SyncError
from pipeline.local import StackError
from pipeline.packaging import PackagingError

__all__ = ["app", "main"]


def main() -> None:
    """Run the command; errors that are for the reader are printed without a traceback."""
    try:
        app()
    except (SyncError, StackError, PackagingError) as error:
        errors.print(f"[bold red]error:[/] {error}", highlight=False)
        sys.exit(1)
