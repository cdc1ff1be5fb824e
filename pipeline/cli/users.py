"""One user, as both stores have it."""

import os
from typing import Annotated, Any

import boto3
import typer
from psycopg.rows import dict_row
from rich.highlighter import JSONHighlighter

from pipeline import settings
from pipeline.cli.app import NOT_AS_IT_SHOULD_BE, AsJson, app, console, print_json
from pipeline.cli.foreign import as_json as as_text
from pipeline.cli.sql import through_data_api
from pipeline.sinks.dynamodb import plain

_HIGHLIGHT = JSONHighlighter()


@app.command()
def user(
    user_id: Annotated[str, typer.Argument(help="Auth0's id, such as 'auth0|63d1…'.")], as_json: AsJson = False
) -> None:
    """Show a user as Postgres and DynamoDB have it.

    Reads USERS_TABLE; and DATABASE_URL or PG…, or else CLUSTER_ARN, MASTER_SECRET_ARN and PGDATABASE for the RDS Data
    API. Exit code 3 if the stores differ in which version they have.
    """
    found = {"postgres": _from_postgres(user_id), "dynamodb": _from_dynamodb(user_id)}
    if as_json:
        print_json(found)
    else:
        for store, value in found.items():
            console.rule(store)
            console.print(_HIGHLIGHT(as_text(value)) if value else "not there")
    versions = {value["version"] if value else None for value in found.values()}
    if len(versions) > 1:
        raise typer.Exit(NOT_AS_IT_SHOULD_BE)


def _from_postgres(user_id: str) -> dict[str, Any] | None:
    if not (os.environ.get("DATABASE_URL") or os.environ.get("PGHOST")) and os.environ.get("CLUSTER_ARN"):
        # In hexadecimal, whatever is in it: the statement is one text, in which the Data API looks for parameters.
        encoded = user_id.encode("utf-8", "surrogateescape").hex()
        answer = through_data_api(
            f"SELECT * FROM auth0.users WHERE user_id = convert_from(decode('{encoded}', 'hex'), 'UTF8')"  # noqa: S608
        )
        return dict(zip(answer.columns, answer.rows[0], strict=True)) if answer.rows else None

    from pipeline.sinks.postgres import connect

    database = settings.Database.from_env()
    with connect(database) as connection, connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("SELECT * FROM auth0.users WHERE user_id = %s", [user_id]).fetchone()


def _from_dynamodb(user_id: str) -> dict[str, Any] | None:
    key = {"user_id": {"S": user_id}}
    answer = boto3.client("dynamodb").get_item(TableName=settings.users_table(), Key=key, ConsistentRead=True)
    return plain(answer["Item"]) if "Item" in answer else None
