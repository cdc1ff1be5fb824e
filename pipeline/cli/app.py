"""The Typer application; it loads a command when it runs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from shlex import quote
from shutil import which
from typing import Annotated, Any

import typer
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_from_info

from pipeline.cli import commands, local
from pipeline.cli.terminal import console, echo
from pipeline.errors import CommandError
from pipeline.foreign import as_json, plain


class OnDemand(TyperGroup):
    """A group with the names and summaries of its commands, which loads only the one that runs."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        known = commands.COMMANDS.items()
        self.commands = {name: TyperCommand(name, help=command.summary) for name, command in known}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Load the command that the arguments name."""
        if args[0] in commands.COMMANDS:
            self.commands[args[0]] = load(args[0])
            if commands.prepare:
                commands.prepare()
        return super().resolve_command(ctx, args)

    def make_context(self, *arguments: Any, **extra: Any) -> Any:
        """Parse the arguments of the group."""
        with _visible():
            return super().make_context(*arguments, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Parse the arguments of the command, and run it."""
        with _visible():
            return super().invoke(ctx)

    def format_help(self, ctx: Any, _formatter: Any) -> None:
        """Print the help as Typer does, but without `typer.rich_utils`, whose imports would take most of the time."""
        records = (parameter.get_help_record(ctx) for parameter in self.get_params(ctx))
        options = [(names, text) for names, text in filter(None, records)]
        summaries = [(name, command.help or "") for name, command in self.commands.items()]
        console.print("", Text(f" {self.get_usage(ctx)}", "bold"), "", Text(f" {self.help}"), "", sep="\n")
        for title, rows in (("Options", options), ("Commands", summaries)):
            table = Table.grid(padding=(0, 2, 0, 0))
            table.add_column(style="bold cyan", no_wrap=True)
            for row in rows:
                table.add_row(*map(Text, row))
            console.print(Panel(table, title=title, title_align="left", border_style="dim"))


@contextmanager
def _visible() -> Iterator[None]:
    """Escape the arguments in a usage error: they may be foreign text, and Typer prints them as they are."""
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message"):
            usage: Any = error  # one of Click's errors, of which Typer has a copy
            if not usage.message and getattr(getattr(usage, "param", None), "envvar", None):  # a missing option
                usage.message = how_to_select()
            usage.message = plain(usage.message, keep="\n")
        raise


app = typer.Typer(
    cls=OnDemand,
    help="A company's own live copy of its Auth0 tenant on AWS.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

EXIT_UNHEALTHY = 3
"""Exit code: the command worked, and found that something is wrong."""

NOBODY = 4
"""Exit code: the command worked, and found that there is no such user."""

TIMED_OUT = 5
"""Exit code: the query took longer than --timeout, and was cancelled."""

_EXTRAS = {"psutil": "deploy", "elftools": "deploy", "cryptography": "verify"}
"""The extra in pyproject.toml that has a module."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets; docs/logs.md has its rules.")]
Timeout = Annotated[
    float,
    typer.Option(min=0.1, max=86400, help="Seconds until the query is cancelled; exit code 5.", show_default=True),
]
DeploymentName = Annotated[
    str, typer.Option(envvar="DEPLOYMENT", help="Prefix of the deployment's names, such as auth0-sync-prod.")
]
ArchiveBucket = Annotated[str, typer.Option(envvar="ARCHIVE_BUCKET", help="The archive's bucket.")]
ArchivePrefix = Annotated[str, typer.Option(envvar="ARCHIVE_PREFIX", help="Prefix of the archive's objects.")]
ErrorPrefix = Annotated[str, typer.Option(envvar="ARCHIVE_ERROR_PREFIX", help="Prefix of the failed events.")]
Recorder = Annotated[
    str | None, typer.Option(envvar="MANIFEST_FUNCTION", help="Function that records the deletions for `verify`.")
]
LogStreamSource = Annotated[
    str, typer.Option(envvar="LOG_STREAM_SOURCE", help="The deployment's event source, to compare the tenant.")
]

Env = Annotated[str, typer.Option("--env", help="The environment: infra/terraform/environments/NAME.tfvars.")]


def as_called() -> str:
    """Return the command as the user called it: its name, or its path if the shell does not find it by its name."""
    name = Path(sys.argv[0]).name
    return name if which(name) == sys.argv[0] else quote(sys.argv[0])


def how_to_select() -> str:
    """Return a sentence with the line that selects a deployment, and with that for the local stack if there is one."""
    line = f'eval "$({as_called()} env'
    here = f'; at the local stack: {line})"' if local.installed() else ""
    return f'Point this shell at a deployment: {line} --env NAME)"{here}'


def print_json(value: Any) -> None:
    """Print ``value`` as one JSON document; times as ISO 8601."""
    echo(as_json(value))


@cache
def load(name: str) -> Any:
    """Import the module of a command, which adds it to ``app``, and return the command."""
    try:
        import_module(commands.COMMANDS[name].module)
    except ModuleNotFoundError as missing:
        if extra := _EXTRAS.get(str(missing.name).partition(".")[0]):
            raise CommandError(f"`{name}` needs the extra `{extra}`: pip install 'auth0-sync[{extra}]'") from None
        raise
    [info] = [one for one in app.registered_commands if one.callback and (one.name or one.callback.__name__) == name]
    command = get_command_from_info(
        info, pretty_exceptions_short=app.pretty_exceptions_short, rich_markup_mode=app.rich_markup_mode
    )
    command.help = _unwrapped(command.help or "")
    return command


def _unwrapped(text: str) -> str:
    """Join the lines of each paragraph: Typer keeps their breaks, which fit the width of the code."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        echo(f"auth0-sync {version('auth0-sync')}")
        raise typer.Exit


@app.callback()
def _main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and exit.")
    ] = False,
) -> None:
    """Take the options that stand before the name of a command."""


commands.add_installed()
