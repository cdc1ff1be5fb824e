"""The archive of logs, asked with Athena."""

import os
from typing import Annotated, Any

import boto3
import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.archive import athena, questions
from pipeline.archive.literals import Parameter, require_reading
from pipeline.archive.questions import DEFAULT_DAYS, DEFAULT_LIMIT
from pipeline.cli.app import AsJson, app, console, print_json
from pipeline.cli.foreign import cell
from pipeline.errors import BadSettings


@app.command(context_settings={"ignore_unknown_options": True})  # SQL may begin with a comment: --
def ask(
    question: Annotated[str, typer.Argument(help="A question of --list, or SQL over the views.")] = "",
    parameters: Annotated[list[str] | None, typer.Argument(help="name=value, such as user_id='auth0|63d1…'")] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List the questions: what each answers and takes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask the archive, by the name of a question or in SQL. Reads ATHENA_DATABASE and ATHENA_WORKGROUP.

    Of SQL it takes one statement that only reads: SELECT, WITH, SHOW, DESCRIBE or EXPLAIN.
    """
    if list_all or not question:
        _list(as_json)
        return
    given = dict(_parameter(text) for text in parameters or [])
    if question in questions.names():
        sql, values = _named(question, given)
    elif len(question.split()) > 1:
        sql, values = _reading(question), []
    else:
        raise typer.BadParameter(f"there is no question {question!r}; there are {', '.join(questions.names())}")
    database, workgroup = _required("ATHENA_DATABASE"), _required("ATHENA_WORKGROUP")
    client = boto3.client("athena")
    answer = athena.query(client, sql, database=database, workgroup=workgroup, parameters=values)
    if as_json:
        print_json(answer.dicts())
        return
    console.print(table(answer.dicts()))
    console.print(f"[dim]{len(answer.rows)} rows, {answer.scanned_bytes:,} bytes read[/]", highlight=False)


def _list(as_json: bool) -> None:
    known = [questions.load(name) for name in questions.names()]
    if as_json:
        print_json(
            [{"name": q.name, "title": q.title, "description": q.description, "takes": q.takes()} for q in known]
        )
        return
    for question in known:
        console.print(f"[bold]{question.name}[/]: {question.title}", highlight=False)
        for line in (question.description, f"takes {', '.join(question.takes())}"):
            console.print(Padding(Text(line), (0, 0, 0, 2), expand=False))
    console.print(
        "\nGive them as name=value. since is a day, or days back, such as since=7d; "
        f"without it, since={DEFAULT_DAYS}d. Without limit, limit={DEFAULT_LIMIT}. "
        "A name shown with a number has that default.",
        highlight=False,
    )


def table(rows: list[dict[str, Any]]) -> Table:
    """Rows as a table; what is empty in all of them is left out."""
    names = [name for name in (rows[0] if rows else {}) if any(row[name] not in (None, "") for row in rows)]
    found = Table(box=None, header_style="bold")
    for name in names:
        found.add_column(cell(name))
    for row in rows:
        found.add_row(*[cell(row[name]) for name in names])
    return found


def _named(name: str, given: dict[str, str]) -> tuple[str, list[Parameter]]:
    question = questions.load(name)
    try:
        return question.sql, question.values(question.parse(given))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _reading(sql: str) -> str:
    try:
        require_reading(sql)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return sql


def _parameter(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise typer.BadParameter(f"{text!r} is not of the form name=value")
    return name, value


def _required(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise BadSettings(f'{name} is not set; the local stack\'s: eval "$(auth0-sync env)"')
    return value
