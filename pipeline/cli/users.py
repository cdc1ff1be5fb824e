"""Show a user as both stores have it."""

from typing import Annotated, Any

import typer
from rich.highlighter import JSONHighlighter
from rich.text import Text

from pipeline import settings
from pipeline.cli import aws
from pipeline.cli.app import EXIT_UNHEALTHY, NOBODY, AsJson, app, print_json
from pipeline.cli.rows import print_table
from pipeline.cli.terminal import console, in_markup
from pipeline.foreign import as_json as as_text
from pipeline.query import Result
from pipeline.stores import postgres
from pipeline.stores.dynamodb import DynamoDBStore

_HIGHLIGHT = JSONHighlighter()
_LISTED = ("user_id", "email", "updated_at")


@app.command()
def user(
    user: Annotated[str, typer.Argument(help="Auth0's id, such as 'auth0|63d1…', or an e-mail address.")],
    as_json: AsJson = False,
) -> None:
    """Show a user as Postgres and DynamoDB have it, and say whether they agree.

    An e-mail address is looked up in Postgres, in any case. If several users have it, they are listed.

    Reads USERS_TABLE; and DATABASE_URL or PG…, or else CLUSTER_ARN, QUERY_SECRET_ARN and PGDATABASE for the RDS Data
    API. Exit code 3 if the stores have different versions, 4 if there is no such user.
    """
    try:
        user.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("it is not UTF-8") from None
    if not user:
        raise typer.BadParameter("it is empty")
    with postgres.from_env() as users:
        user_id = user
        if "@" in user and "|" not in user:  # every id of Auth0 has a bar
            ids = users.find(user)
            if len(ids) != 1:
                having = [tuple(row[name] for name in _LISTED) for row in map(users.read, ids) if row]
                _list(user, Result(_LISTED, having), as_json)
                return
            [user_id] = ids
        found = {"postgres": users.read(user_id)}
    found["dynamodb"] = DynamoDBStore(aws.client("dynamodb"), settings.users_table()).read(user_id)
    if as_json:
        print_json(found)
    else:
        for store, value in found.items():
            console.rule(store)
            console.print(_shown(value) if value else "not there", soft_wrap=True)
        console.print(in_markup(_verdict(user_id, **found)), highlight=False, soft_wrap=True)
    versions = {value["version"] if value else None for value in found.values()}
    if versions == {None}:
        raise typer.Exit(NOBODY)
    if len(versions) > 1:
        raise typer.Exit(EXIT_UNHEALTHY)


def _shown(value: dict[str, Any]) -> Text:
    """Return a user as text, for a terminal with colours: for deeply nested metadata they take seconds."""
    shown = Text(as_text(value))
    if console.is_terminal:
        _HIGHLIGHT.highlight(shown)
    return shown


def _list(address: str, having: Result, as_json: bool) -> None:
    if as_json:
        print_json({"users": having.dicts()})
    elif having.rows:
        console.print(f"{len(having.rows)} users have this address; name one by its id:", highlight=False)
        print_table(having)
    else:
        console.print(f"Nobody has the e-mail address {in_markup(address)}.", highlight=False, soft_wrap=True)
    if not having.rows:
        raise typer.Exit(NOBODY)


def _verdict(user_id: str, postgres: dict[str, Any] | None, dynamodb: dict[str, Any] | None) -> str:
    if postgres is None and dynamodb is None:
        return f"Neither Postgres nor DynamoDB has the user {user_id}."
    differ = "Postgres and DynamoDB differ:"
    if postgres is None:
        return f"{differ} Postgres does not have the user."
    if dynamodb is None:
        return f"{differ} DynamoDB does not have the user."
    if postgres["version"] == dynamodb["version"]:
        return "Postgres and DynamoDB agree: both have the same version."
    newer = "Postgres" if postgres["version"] > dynamodb["version"] else "DynamoDB"
    return f"{differ} {newer} has the newer version."
