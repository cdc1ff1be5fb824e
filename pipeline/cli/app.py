"""The Typer application and the two consoles; the command groups register themselves with it."""

import sys
from importlib.metadata import entry_points
from typing import Annotated, Any

import typer
from rich.console import Console

from pipeline.cli.foreign import as_json

app = typer.Typer(
    help="A company's own live copy of its Auth0 tenant on AWS.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# Into a pipe or a log, lines as wide as the tables need; a terminal has its own width.
_WIDTH = None if sys.stdout.isatty() else 120

# Without emoji, because :smile: in data is no code for one.
console = Console(width=_WIDTH, emoji=False)
errors = Console(stderr=True, width=_WIDTH, emoji=False)

NOT_AS_IT_SHOULD_BE = 3
"""Exit code: the command worked, and found that something is wrong."""

NOBODY = 4
"""Exit code: the command worked, and found that there is no such user."""

COMMANDS = "auth0_sync.commands"
"""Group of the entry points of packages that have commands of their own."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
DeploymentName = Annotated[
    str, typer.Option(envvar="DEPLOYMENT", help="Prefix of the deployment's names, such as auth0-sync-prod.")
]


def print_json(value: Any) -> None:
    """Print ``value`` as one JSON document; times as ISO 8601."""
    typer.echo(as_json(value))


def load_commands() -> None:
    """Import every command group, which adds its commands to ``app``, and load those of other packages.

    An entry point of the group COMMANDS is a function that takes ``app``. The order is that of ``--help``.
    """
    from pipeline.cli import archive, deploy  # noqa: F401

    for entry in entry_points(group=COMMANDS):
        entry.load()(app)
    from pipeline.cli import env, failed, logs, package, redrive, replay, restore, sql, users  # noqa: F401


load_commands()
