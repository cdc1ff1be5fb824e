"""Query the archive of logs with Athena."""

import os
from typing import Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from pipeline.archive import athena, questions
from pipeline.archive.literals import Parameter, require_reading
from pipeline.archive.questions import DEFAULT_DAYS, DEFAULT_LIMIT, Question
from pipeline.cli import aws
from pipeline.cli.app import AsCsv, AsJson, Timeout, app
from pipeline.cli.rows import require_one, show
from pipeline.cli.terminal import console, errors, in_markup
from pipeline.errors import NotSet
from pipeline.query import Result


@app.command(context_settings={"ignore_unknown_options": True})  # SQL may begin with a comment: `--`
def ask(
    question: Annotated[str, typer.Argument(help="A question of --list, or SQL over the views.")] = "",
    parameters: Annotated[list[str] | None, typer.Argument(help="name=value, such as user_id='auth0|63d1…'")] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List the questions: what each answers and takes.")] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    timeout: Timeout = 300,
) -> None:
    """Ask the archive, by the name of a question or in SQL. Reads ATHENA_DATABASE and ATHENA_WORKGROUP.

    SQL must be one statement that only reads: SELECT, WITH, SHOW, DESCRIBE or EXPLAIN.
    """
    require_one(as_json=as_json, as_csv=as_csv)
    if list_all or not question:
        _list(as_json=as_json, as_csv=as_csv)
        return
    given = dict(_parameter(text) for text in parameters or [])
    window = ""
    if question in questions.names():
        known = questions.load(question)
        values = _parsed(known, given)
        answer = questions.ask(
            aws.client("athena"), question, values, database=_database(), workgroup=_workgroup(), timeout=timeout
        )
        window = f"; arrived {' to '.join(known.window(values))} (UTC)"
    elif len(question.split()) > 1:
        sql = _reading(question)
        answer = athena.query(aws.client("athena"), sql, database=_database(), workgroup=_workgroup(), timeout=timeout)
    else:
        raise typer.BadParameter(f"there is no question {question!r}; there are {', '.join(questions.names())}")
    show(answer, as_json=as_json, as_csv=as_csv, whole=not window)
    read = f"; {answer.scanned_bytes:,} bytes read" if answer.scanned_bytes is not None else ""
    errors.print(in_markup(f"{_count(answer)}{window}{read}"), style="dim", highlight=False, soft_wrap=True)
    if answer.more:
        shown = len(answer.rows)
        errors.print(
            f"[yellow]There are more: limit={shown} cut the answer.[/] For the rest, give a higher limit, such as "
            f"limit={max(shown, 1) * 10}, or a shorter time by since and until.",
            highlight=False,
            soft_wrap=True,
        )


def _list(*, as_json: bool, as_csv: bool) -> None:
    known = [questions.load(name) for name in questions.names()]
    if as_json or as_csv:
        rows = [
            (one.name, one.title, one.description, one.takes() if as_json else ", ".join(one.takes())) for one in known
        ]
        show(Result(("name", "title", "description", "takes"), rows), as_json=as_json, as_csv=as_csv)
        return
    for question in known:
        console.print(f"[bold]{question.name}[/]: {question.title}", highlight=False)
        for line in (question.description, f"takes {', '.join(question.takes())}"):
            console.print(Padding(Text(line), (0, 0, 0, 2), expand=False))
    console.print(
        "\nGive them as name=value. since and until are a day, a time such as 2026-01-15T09:30Z, or back from now such "
        f"as 7d or 24h; they are when a log arrived. Without them, since={DEFAULT_DAYS}d until=now; without limit, "
        f"limit={DEFAULT_LIMIT}. A name shown with a value has that default.",
        highlight=False,
    )


def _count(answer: Result) -> str:
    number = len(answer.rows)
    return f"{number:,} row{'' if number == 1 else 's'}"


def _parsed(question: Question, given: dict[str, str]) -> dict[str, Parameter]:
    try:
        parsed = question.parse(given)
        question.values(parsed)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return parsed


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


def _database() -> str:
    return _required("ATHENA_DATABASE")


def _workgroup() -> str:
    return _required("ATHENA_WORKGROUP")


def _required(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise NotSet(f"{name} is not set")
    return value
