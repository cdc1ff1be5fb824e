"""The Typer application and the two consoles; the command groups register themselves with it."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

app = typer.Typer(
    help="A company's own live copy of its Auth0 tenant on AWS.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# Into a pipe or a log, lines as wide as the tables need; a terminal has its own width.
_WIDTH = None if sys.stdout.isatty() else 120

console = Console(width=_WIDTH)
errors = Console(stderr=True, width=_WIDTH)

NOT_AS_IT_SHOULD_BE = 3
"""Exit code: the command worked, and found that something is wrong."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
DeploymentName = Annotated[
    str, typer.Option(envvar="DEPLOYMENT", help="Prefix of the deployment's names, such as auth0-sync-prod.")
]


def print_json(value: Any) -> None:
    """Print ``value`` as one JSON document; times as ISO 8601."""
    typer.echo(json.dumps(value, default=str, ensure_ascii=False, indent=2))


def load_commands() -> None:
    """Import every command group, which adds its commands to ``app``."""
    from pipeline.cli import archive, demo, deploy, events, failed, package, redrive, replay, restore, sql, stack, users  # noqa: F401


load_commands()
