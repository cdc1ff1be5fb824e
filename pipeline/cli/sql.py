"""Query the users in Postgres, and make its roles."""

import os
import re
import time
from typing import Annotated, Any, Final

import typer

from pipeline import roles as database_roles
from pipeline import settings
from pipeline.cli.app import AsCsv, AsJson, Timeout, app
from pipeline.cli.rows import require_one, show
from pipeline.cli.terminal import console, echo, errors, in_markup
from pipeline.errors import CommandError, NotSet
from pipeline.query import Result, TimedOut

TIMEOUT: Final = 300.0
"""Seconds for a statement by default."""
DATA_API_SECONDS: Final = 45
"""Seconds after which the Data API itself ends a statement."""

_READING: Final = ("SELECT", "WITH", "TABLE", "VALUES", "SHOW", "EXPLAIN")
_BEFORE: Final = re.compile(r"(?:[\s(]+|--[^\r\n]*)+")
_COMMENT: Final = re.compile(r"/\*|\*/")

_PREPARE: Final = """
SELECT set_config('search_path', concat_ws(', ', 'auth0', nullif(current_setting('search_path'), '')), true)
"""
"""Sets `search_path`. After the first query, Postgres makes no transaction writable again."""
_SUPERUSER: Final = """
SELECT 1 FROM pg_roles WHERE (rolsuper OR rolname = 'rds_superuser') AND pg_has_role(session_user, oid, 'MEMBER')
"""


class NotAsSuperuser(CommandError):
    """The role may write files and run programs on the server, even in a read-only transaction."""


@app.command(context_settings={"ignore_unknown_options": True})  # SQL may begin with a comment: `--`
def sql(
    query: Annotated[str, typer.Argument(help="One statement, such as 'SELECT count(*) FROM live_users'.")],
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    timeout: Timeout = TIMEOUT,
) -> None:
    """Ask Postgres in SQL; nothing can be written.

    It takes one statement that reads: SELECT, WITH, TABLE, VALUES, SHOW or EXPLAIN. Schema auth0 may be left out.

    Reads DATABASE_URL, or PGHOST and the other PG… for IAM; or else CLUSTER_ARN, QUERY_SECRET_ARN and PGDATABASE for
    the RDS Data API, which works outside the VPC. The command refuses superusers.
    """
    require_one(as_json=as_json, as_csv=as_csv)
    try:
        require_reading(query)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    answer = ask(query, timeout)
    show(answer, as_json=as_json, as_csv=as_csv)
    errors.print(f"{len(answer.rows):,} row{'' if len(answer.rows) == 1 else 's'}", style="dim", highlight=False)


def require_reading(query: str) -> None:
    """Raise ValueError unless a statement begins as one that reads. Postgres takes one statement at a time."""
    rest = query
    while True:
        rest = rest[found.end() :] if (found := _BEFORE.match(rest)) else rest
        if not rest.startswith("/*"):
            break
        rest = _behind_comment(rest)
    word = re.match(r"\w*", rest)
    if word is None or word[0].upper() not in _READING:
        raise ValueError(f"it only reads: a statement begins with {', '.join(_READING[:-1])} or {_READING[-1]}")


def _behind_comment(text: str) -> str:
    """Return the text after a comment, which may contain others; nothing if it does not end."""
    depth = 0
    for mark in _COMMENT.finditer(text):
        depth += 1 if mark[0] == "/*" else -1
        if not depth:
            return text[mark.end() :]
    return ""


def ask(query: str, timeout: float = TIMEOUT) -> Result:
    """Run one statement as a reader on the database that the environment names."""
    if os.environ.get("DATABASE_URL") or os.environ.get("PGHOST"):
        return _from_server(query, timeout)
    if os.environ.get("CLUSTER_ARN"):
        return through_data_api(query, timeout)
    raise NotSet("none of DATABASE_URL, PGHOST and CLUSTER_ARN is set; docs/database.md has the ways in")


@app.command()
def roles(
    env: Annotated[str | None, typer.Option("--env", help="The deployment whose roles in Aurora to repair.")] = None,
) -> None:
    """Print the SQL that makes the roles on a server of your own, or, with --env, repair those of a deployment.

    The deployment's roles function repairs its roles: it creates missing ones, takes away rights that they should not
    have, renews the password of auth0_query, and names other roles with rights.
    """
    if env is None:
        echo(_FOR_ADMINISTRATORS.format(roles=database_roles.ROLES.strip(), dedicated=_commented()))
        return
    from pipeline import invocation
    from pipeline.cli.deploy import deployed
    from pipeline.cli.progress import Steps
    from pipeline.deploy import DeployError

    outputs = deployed(env)
    function = outputs["function_names"].get("roles")
    if function is None:
        raise DeployError(
            f"{env} has a Postgres server of your own, whose administrator makes the roles: auth0-sync roles | psql …"
        )
    with Steps(console) as steps, steps.step("Database roles") as step:
        client = invocation.client(outputs["region"])
        done = invocation.call(
            client,
            function,
            {},
            failed="The database roles could not be repaired.",
            logs=invocation.logs_command("roles", env),
        )
        step.update(", ".join(done["roles"]))
    for line in done["others"]:
        console.print(f"  {in_markup(line)}", highlight=False, soft_wrap=True)


def _from_server(query: str, timeout: float) -> Result:
    import psycopg

    from pipeline.data_api import Refused
    from pipeline.sinks.postgres import connect_for_people

    with connect_for_people(settings.Database.from_env(), application_name="auth0-sync-sql") as connection:
        # In the transaction, because a pooler discards the settings of a session.
        connection.execute(
            f"BEGIN READ ONLY; SET LOCAL timezone = 'UTC'; SET LOCAL statement_timeout = {int(timeout * 1000)}".encode()
        )
        if connection.execute(_SUPERUSER).fetchone():
            raise NotAsSuperuser(
                "sql does not sign in as a superuser, who may write files and run programs on the server even in a "
                "read-only transaction. Sign in as auth0_reader; auth0-sync roles makes it."
            )
        connection.execute(_PREPARE)
        _keep_as_text_what_python_cannot_hold(connection)
        began = time.monotonic()
        try:
            # A pipeline accepts single statements, so none can end the transaction and run another.
            with connection.pipeline():
                cursor = connection.execute(query.encode())
        except psycopg.errors.QueryCanceled as error:
            if time.monotonic() - began < timeout:  # an administrator did
                raise Refused(str(error)) from error
            raise TimedOut(f"{timeout:g} seconds of --timeout") from error
        except psycopg.Error as error:
            raise Refused(str(error)) from error
        columns = tuple(column.name for column in cursor.description or ())
        rows = cursor.fetchall() if columns else []
    return Result(columns, [tuple(rf"\x{v.hex()}" if isinstance(v, bytes) else v for v in row) for row in rows])


def _keep_as_text_what_python_cannot_hold(connection: Any) -> None:
    """Read values such as the year 20000, infinity or an integer of 5,000 digits in JSON as Postgres' text."""
    from psycopg import DataError
    from psycopg.adapt import Loader
    from psycopg.pq import Format

    def register(kind: str) -> None:
        oid = connection.adapters.types[kind].oid
        loader = connection.adapters.get_loader(oid, Format.TEXT)

        class OrText(Loader):
            def __init__(self, oid: int, context: Any = None) -> None:
                super().__init__(oid, context)
                self._loader = loader(oid, context)

            def load(self, data: Any) -> Any:
                try:
                    return self._loader.load(data)
                except (DataError, ValueError, OverflowError, RecursionError):
                    return bytes(data).decode()

        connection.adapters.register_loader(oid, OrText)

    for kind in ("date", "time", "timetz", "timestamp", "timestamptz", "interval", "json", "jsonb"):
        register(kind)


def through_data_api(query: str, timeout: float = TIMEOUT) -> Result:
    """Run one statement as a reader on the cluster of CLUSTER_ARN. Raises a ``pipeline.data_api.DataApiError``."""
    from botocore.config import Config

    from pipeline import data_api
    from pipeline.cli import aws
    from pipeline.stores import aurora

    cluster = settings.Cluster.from_env()
    retries: Any = {"total_max_attempts": 1}
    read_timeout = DATA_API_SECONDS + 15
    client = aws.client("rds-data", config=Config(retries=retries, read_timeout=read_timeout))
    with aurora.reading(client, cluster) as transaction:
        transaction.execute(f"SET LOCAL statement_timeout = {int(timeout * 1000)}")
        transaction.execute(_PREPARE)
        try:
            return transaction.execute(query)
        except data_api.TimedOut as error:
            if timeout < DATA_API_SECONDS:
                raise TimedOut(f"{timeout:g} seconds of --timeout") from error
            raise


def _commented() -> str:
    lines = database_roles.DEDICATED.strip().splitlines()
    return "\n".join(line if line.startswith("--") else f"-- {line}".rstrip() for line in lines)


_FOR_ADMINISTRATORS = """\
-- Run it in the database of auth0-sync, as its owner or a superuser, who may create roles:
--   auth0-sync roles | psql --set ON_ERROR_STOP=1 "host=… dbname=… user=…"
BEGIN;

{roles}

COMMIT;

-- Where roles sign in by IAM token (RDS, Aurora), that is all. Elsewhere rds_iam does not exist and is left out; give
-- each role a password, in psql: \\password auth0_migrator, then auth0_writer and auth0_reader.

{dedicated}"""
