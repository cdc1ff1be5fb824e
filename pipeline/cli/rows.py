"""Print rows: a table or records on a terminal, lines with tabs in a pipe, CSV, JSON."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from pipeline.cli.app import print_json
from pipeline.cli.terminal import cell, console, echo
from pipeline.foreign import csv_line, plain, text
from pipeline.query import Result

GAP: Final = 2
"""Columns between those of a table."""


def show(result: Result, *, as_json: bool = False, as_csv: bool = False, whole: bool = True) -> None:
    """Print a result in the requested form; see ``print_table`` for ``whole``."""
    require_one(as_json=as_json, as_csv=as_csv)
    if as_json:
        print_json(result.dicts())
    elif as_csv:
        for line in csv_lines(result):
            echo(line, keep="\r\n", end="")
    else:
        print_table(result, whole=whole)


def require_one(*, as_json: bool, as_csv: bool) -> None:
    """Raise a usage error if both forms are requested."""
    if as_json and as_csv:
        raise typer.BadParameter("either --json or --csv")


def print_table(result: Result, to: Console = console, *, whole: bool = True) -> None:
    """Print a table, records if it is wider than the terminal, or in a pipe lines with tabs between cells.

    Unless ``whole``, a terminal does not show columns that are NULL in every row.
    """
    if to.is_terminal:
        for line in table(result if whole else _filled(result), to.width):
            to.print(line, highlight=False, soft_wrap=True)
    else:
        for plain_line in tab_lines(result):
            to.file.write(f"{plain_line}\n")


def table(result: Result, width: int) -> Iterator[Text]:
    """Return the lines of a table, or of a record per row where a line would be wider than ``width``."""
    names = [Text(plain(name), style="bold") for name in result.columns]
    rows = [[cell(value) for value in row] for row in result.rows]
    widths = [max(cell_len(one.plain) for one in column) for column in zip(names, *rows, strict=True)]
    if rows and sum(widths) + GAP * (len(widths) - 1) > width:
        yield from _records(names, rows)
        return
    for row in [names, *rows]:
        line = Text(" " * GAP).join(_padded(one, wide) for one, wide in zip(row, widths, strict=True))
        line.rstrip()
        yield line


def _filled(result: Result) -> Result:
    if not result.rows:
        return result
    filled = [place for place in range(len(result.columns)) if any(row[place] is not None for row in result.rows)]
    rows = [tuple(row[place] for place in filled) for row in result.rows]
    return replace(result, columns=tuple(result.columns[place] for place in filled), rows=rows)


def _records(names: list[Text], rows: list[list[Text]]) -> Iterator[Text]:
    wide = max(cell_len(name.plain) for name in names)
    for number, row in enumerate(rows):
        if number:
            yield Text()
        for name, value in zip(names, row, strict=True):
            yield _padded(name, wide + GAP).append_text(value)


def tab_lines(result: Result) -> Iterator[str]:
    """Return a line of the names and one per row, with tabs between the cells; a tab in a cell is escaped."""
    yield "\t".join(map(plain, result.columns))
    for row in result.rows:
        yield "\t".join(map(text, row))


def csv_lines(result: Result) -> Iterator[str]:
    """Return the lines of CSV, the names first; see ``csv_line``."""
    yield from map(csv_line, (result.columns, *result.rows))


def _padded(value: Text, width: int) -> Text:
    found = value.copy()
    found.pad_right(width - cell_len(value.plain))
    return found
