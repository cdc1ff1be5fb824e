"""SQL over the users in Postgres, and the roles that may do what there."""

import os
import time
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from pipeline import roles as database_roles
from pipeline import settings
from pipeline.cli.app import AsJson, app, console, print_json
from pipeline.cli.foreign import cell
from pipeline.cli.progress import Steps
from pipeline.data_api import Answer, Refused, Transaction, Unreachable, patiently
from pipeline.deploy import DeployError
from pipeline.errors import BadSettings

RESUME = 60.0
"""Seconds to wait for a cluster that has paused itself."""

_FIX: Final = "SELECT 1"
"""After its first query, Postgres refuses to make a read-only transaction writable."""


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One statement, such as 'SELECT count(*) FROM auth0.live_users'.")],
    as_json: AsJson = False,
) -> None:
    """Ask Postgres in SQL; nothing can be written.

    Reads DATABASE_URL, or PGHOST and the other PG… for IAM; or else CLUSTER_ARN, MASTER_SECRET_ARN and PGDATABASE, and
    goes through the RDS Data API, which needs no way into the database's network.
    """
    answer = ask(query)
    if as_json:
        print_json([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
        return
    console.print(_table(answer))
    console.print(f"[dim]{len(answer.rows)} row{'' if len(answer.rows) == 1 else 's'}[/]", highlight=False)


def ask(query: str) -> Answer:
    """Run one statement as a reader on the database that the environment names."""
    if os.environ.get("DATABASE_URL") or os.environ.get("PGHOST"):
        return _from_server(query)
    if os.environ.get("CLUSTER_ARN"):
        return through_data_api(query)
    raise BadSettings(
        "none of DATABASE_URL, PGHOST and CLUSTER_ARN is set; docs/database.md has the ways in, and the local "
        'stack\'s is: eval "$(auth0-sync env)"'
    )


@app.command()
def roles(
    env: Annotated[
        str | None, typer.Option("--env", help="A deployment whose Aurora cluster's roles to repair.")
    ] = None,
) -> None:
    """Print the SQL that makes the roles on a server of your own, or, with --env, repair those of a deployment.

    A deployment's roles are repaired by its roles function, which makes what is missing and changes nothing else.
    """
    if env is None:
        typer.echo(_FOR_ADMINISTRATORS.format(roles=database_roles.ROLES.strip(), dedicated=_commented()))
        return
    from pipeline import invocation
    from pipeline.cli.deploy import deployed

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


def _from_server(query: str) -> Answer:
    import psycopg

    from pipeline.sinks.postgres import connect

    with connect(settings.Database.from_env(), application_name="auth0-sync-sql") as connection:
        # In the transaction, because a pooler drops the settings of a session.
        connection.execute("BEGIN READ ONLY; SET LOCAL timezone = 'UTC'; SET LOCAL statement_timeout = '5min'")
        connection.execute(_FIX)
        _keep_as_text_what_python_cannot_hold(connection)
        try:
            # A pipeline takes one statement at a time, which cannot end the transaction and go on.
            with connection.pipeline():
                cursor = connection.execute(query.encode())
        except psycopg.Error as error:
            raise Refused(str(error)) from error
        columns = tuple(column.name for column in cursor.description or ())
        rows = cursor.fetchall() if columns else []
    return Answer(columns, [tuple(rf"\x{v.hex()}" if isinstance(v, bytes) else v for v in row) for row in rows])


def _keep_as_text_what_python_cannot_hold(connection: Any) -> None:
    """Have values such as the year 20000, infinity or an integer of 5,000 digits in JSON read as Postgres has them."""
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


def through_data_api(query: str) -> Answer:
    """Run one statement as a reader on the cluster of CLUSTER_ARN. Raises a ``pipeline.data_api.DataApiError``."""
    import boto3
    from botocore.config import Config

    cluster = settings.Cluster.from_env()
    retries: Any = {"total_max_attempts": 1}
    # The Data API itself gives up after 45 seconds.
    client: Any = boto3.client("rds-data", config=Config(retries=retries, connect_timeout=5, read_timeout=60))
    deadline = time.monotonic() + RESUME
    transaction = patiently(lambda: Transaction(client, cluster), deadline, give_up_on=(Unreachable,))
    with transaction:
        # The secret is the master user's, which is not needed to read, and could do more than read.
        transaction.execute("SET TRANSACTION READ ONLY")
        transaction.execute(f"SET LOCAL ROLE {database_roles.READERS}")
        transaction.execute(_FIX)
        return transaction.execute(query)


def _table(answer: Answer) -> Table:
    found = Table(box=None, header_style="bold")
    for name in answer.columns:
        found.add_column(cell(name))
    for row in answer.rows:
        found.add_row(*map(cell, row))
    return found


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
