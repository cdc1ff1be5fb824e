"""The output of all commands: no text in it is a control code of the terminal.

A test holds that no other module of a command prints.
"""

import re
import sys
import traceback
from collections.abc import Iterable
from typing import Any, Final

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from pipeline.foreign import plain, text


class Terminal(Console):
    """A console that escapes invisible characters in everything that is rendered, and keeps Rich's own codes."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render an object, and escape the text of its segments."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(plain(segment.text, keep="\n"), segment.style)


# In a pipe or a log, lines are as wide as the tables need; a terminal has its own width.
_WIDTH = None if sys.stdout.isatty() else 120

# Without emoji, so that :smile: in data stays text.
console = Terminal(width=_WIDTH, emoji=False)
errors = Terminal(stderr=True, width=_WIDTH, emoji=False)


_BRACKET: Final = re.compile(r"(\\*)\[(?=([a-z#/@][^\[]*?\])?)")
"""A bracket with the backslashes before it, and the rest of a tag in Rich's syntax."""


def echo(line: str, *, keep: str = "\n\t", end: str = "\n") -> None:
    """Print text without markup, wrapping or colours; ``keep`` are the control characters that may stay."""
    typer.echo(plain(line, keep) + end, nl=False)


def can_ask() -> bool:
    """Return whether a person can answer."""
    return sys.stdin.isatty()


def ask(question: str) -> str:
    """Ask a person, and return the answer."""
    return str(typer.prompt(plain(question), default="", show_default=False)).strip()


def ask_secret(question: str) -> str:
    """Ask a person for a secret, without showing the answer, and return it."""
    return str(typer.prompt(plain(question), default="", show_default=False, hide_input=True)).strip()


def cell(value: Any) -> Text:
    """Return a value on one line, for a table."""
    return Text(text(value), style="dim" if value is None else "")


def in_markup(value: Any, *, keep: str = "") -> str:
    """Return a value for use inside text with markup. Rich's own `escape` loses a backslash before a bracket."""
    escaped = _BRACKET.sub(_escape, plain(value, keep))
    return escaped + escaped[len(escaped.rstrip("\\")) :]  # else the last one would escape a tag behind the value


def lines_in_markup(value: Any) -> str:
    """Return a text of several lines for use inside text with markup."""
    return in_markup(value, keep="\n")


def _escape(found: re.Match[str]) -> str:
    backslashes, tag = found.groups()
    if tag:
        return f"{backslashes}{backslashes}\\["
    return f"{backslashes}\\[" if backslashes else "["


def print_error(said: str) -> None:
    """Print the message of a failed command."""
    errors.print("[bold red]error:[/]", Text(plain(said, keep="\n")), highlight=False, soft_wrap=True)


def print_bug(error: BaseException) -> None:
    """Print the traceback of an error that is not for the reader."""
    errors.print(Text("".join(traceback.format_exception(error))), highlight=False, soft_wrap=True, end="")
