"""A Postgres server with the roles that RDS makes, and the Data API in front of it.

The master user of RDS is no superuser: it may create roles, owns the database, and is in `rds_superuser`, by which it
may grant `rds_iam`. Members of `rds_iam` sign in by token. The test's server asks nobody for a password, so that the
roles can be tried without tokens.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from devstack import postgres
from devstack.emulator.aurora import passwords
from pipeline import roles
from pipeline.functions.migrate import migrate
from pipeline.settings import Database

ARN = "arn:aws:rds:eu-central-1:123456789012:cluster:auth0-sync-test"
SECRET_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!cluster-1a2b3c4d"
QUERY_SECRET_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:auth0-sync-test-query-1a2b3c"
DATABASE = "auth0"
MASTER = "master_user"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "CLUSTER_ARN": ARN,
    "MASTER_SECRET_ARN": SECRET_ARN,
    "QUERY_SECRET_ARN": QUERY_SECRET_ARN,
    "PGDATABASE": DATABASE,
}
"""Environment of the function and of the command's user; with the Data API's address in AWS_ENDPOINT_URL."""

_SET_UP = (
    "CREATE ROLE rds_superuser",
    "CREATE ROLE rds_iam",
    "GRANT rds_iam TO rds_superuser WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",
    f"CREATE ROLE {MASTER} LOGIN CREATEDB CREATEROLE",
    f"GRANT rds_superuser TO {MASTER}",
)
_ROLES = (*roles.NAMES, roles.READERS, MASTER, "rds_superuser", "rds_iam")


class Cluster(NamedTuple):
    """A server with the database of a fresh cluster; `url` is the superuser's, whom RDS keeps to itself."""

    url: str

    def url_of(self, user: str) -> str:
        """Return the URL with which a user signs in to the database."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=f"{user}@{parts.hostname}:{parts.port}"))

    def connect(self, user: str = MASTER) -> psycopg.Connection:
        """Return a session in autocommit."""
        return psycopg.connect(self.url_of(user), autocommit=True)

    def run(self, *statements: str, user: str = MASTER) -> list[Any]:
        """Run statements; the rows of the last one."""
        with self.connect(user) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def empty(self) -> None:
        """Delete all users and their history."""
        with psycopg.connect(self.url) as superuser:
            superuser.execute("TRUNCATE auth0.user_rows, auth0.user_history")


@contextmanager
def cluster(server: str) -> Iterator[Cluster]:
    """Yield a fresh cluster on the server of a superuser's URL; roles are the server's, so there is one at a time."""
    _clean(server)
    name = f"aurora_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        for statement in _SET_UP:
            connection.execute(statement)
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(MASTER)))
    try:
        yield Cluster(postgres.database_url(server, name))
    finally:
        postgres.drop_database(server, name)
        _clean(server)


@contextmanager
def ready(server: str) -> Iterator[Cluster]:
    """Yield a fresh cluster with roles and schema."""
    with cluster(server) as found:
        with psycopg.connect(found.url_of(MASTER)) as master:
            for statement in roles.statements():
                master.execute(statement)
        migrate(Database(url=found.url_of(roles.MIGRATOR)))
        yield found


def _clean(server: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        for role in _ROLES:
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


class Fault(NamedTuple):
    """An answer in place of a call's own."""

    code: str
    message: str = ""
    status: int = 400


class DataApi:
    """The Data API of a cluster, by HTTP; `faults` are the answers to the next calls."""

    LARGEST: ClassVar = 1 << 20

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.faults: list[Fault] = []
        self.calls: list[tuple[str, str]] = []
        """Operations with their SQL."""
        self.secrets: dict[str, str] = {}
        """Values by ARN."""
        self._transactions: dict[str, psycopg.Connection] = {}
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one write for head and body: two would wait for each other, 40 ms a time

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                # Secrets Manager names the operation in a header, the Data API in the path.
                operation = self.headers.get("X-Amz-Target", "").partition(".")[2] or self.path.strip("/")
                fault, answer = api._answer(operation, body)
                said = {"__type": fault.code, "message": fault.message} if fault else answer
                payload = json.dumps(said).encode()
                if not fault and len(payload) > api.LARGEST:
                    fault = Fault(
                        "DatabaseErrorException", "Database returned more than the allowed response size limit"
                    )
                    payload = json.dumps({"message": fault.message}).encode()
                self.send_response(fault.status if fault else 200)
                if fault:
                    self.send_header("x-amzn-ErrorType", fault.code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def open_transactions(self) -> int:
        return len(self._transactions)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for connection in self._transactions.values():
            connection.close()

    def _answer(self, operation: str, body: dict[str, Any]) -> tuple[Fault | None, Any]:
        self.calls.append((operation, body.get("sql", "")))
        if self.faults:
            return self.faults.pop(0), None
        if operation == "PutSecretValue":
            if body["SecretId"] != QUERY_SECRET_ARN:
                return Fault("AccessDeniedException", "not authorized to perform: secretsmanager", 400), None
            self.secrets[body["SecretId"]] = body["SecretString"]
            return None, {"ARN": body["SecretId"]}
        if body["resourceArn"] != ARN or body["secretArn"] not in (SECRET_ARN, QUERY_SECRET_ARN):
            return Fault("AccessDeniedException", "not authorized to perform: rds-data", 403), None
        try:
            return None, getattr(self, f"_{operation}")(body)
        except KeyError as error:
            return Fault("TransactionNotFoundException", f"Transaction {error} is not found", 404), None
        except psycopg.Error as error:
            state = f"; SQLState: {error.sqlstate}" if error.sqlstate else ""
            return Fault("DatabaseErrorException", f"ERROR: {error.diag.message_primary or error}{state}"), None

    def _BeginTransaction(self, body: dict[str, Any]) -> dict[str, str]:  # noqa: N802 - the operation's name
        assert body["database"] == DATABASE
        transaction = uuid4().hex
        user = MASTER if body["secretArn"] == SECRET_ARN else self._query_user()
        self._transactions[transaction] = psycopg.connect(self.cluster.url_of(user), row_factory=tuple_row)
        return {"transactionId": transaction}

    def _query_user(self) -> str:
        """Return the user of the query secret, whose password is the server's if the secret has one."""
        if QUERY_SECRET_ARN in self.secrets:
            sign_in = json.loads(self.secrets[QUERY_SECRET_ARN])
            with psycopg.connect(self.cluster.url) as superuser:
                found = superuser.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [sign_in["username"]])
                [(verifier,)] = found.fetchall()
            if not passwords.matches(verifier, sign_in["password"]):
                raise psycopg.OperationalError("password authentication failed")
            return str(sign_in["username"])
        return roles.QUERY

    def _Execute(self, body: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - the operation's name
        connection = self._transactions[body["transactionId"]]
        # Prepared, because the Data API takes one statement a call as well.
        cursor = connection.execute(body["sql"], prepare=True)
        columns = cursor.description or []
        names = [self._type_name(connection, column.type_code) for column in columns]
        records = cursor.fetchall() if columns else []
        return {
            "numberOfRecordsUpdated": 0,
            "columnMetadata": [
                {"label": column.name, "name": column.name, "typeName": name}
                for column, name in zip(columns, names, strict=True)
            ],
            "records": [[_field(value) for value in record] for record in records],
        }

    def _CommitTransaction(self, body: dict[str, Any]) -> dict[str, str]:  # noqa: N802 - the operation's name
        with self._transactions.pop(body["transactionId"]) as connection:
            connection.commit()
        return {"transactionStatus": "Transaction Committed"}

    def _RollbackTransaction(self, body: dict[str, Any]) -> dict[str, str]:  # noqa: N802 - the operation's name
        with self._transactions.pop(body["transactionId"]) as connection:
            connection.rollback()
        return {"transactionStatus": "Rollback Complete"}

    @staticmethod
    def _type_name(connection: psycopg.Connection, oid: int) -> str:
        info = connection.adapters.types.get(oid)
        return "" if info is None else f"_{info.name}" if info.array_oid == oid else info.name


@contextmanager
def data_api(cluster: Cluster) -> Iterator[DataApi]:
    """Yield the Data API in front of a cluster."""
    api = DataApi(cluster)
    try:
        yield api
    finally:
        api.close()


def _field(value: Any) -> dict[str, Any]:
    match value:
        case None:
            return {"isNull": True}
        case bool():
            return {"booleanValue": value}
        case int():
            return {"longValue": value}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": _array(value)}
        case _:
            return {"stringValue": _text(value)}


def _array(values: list[Any]) -> dict[str, Any]:
    match values[0] if values else "":
        case bool():
            return {"booleanValues": values}
        case int():
            return {"longValues": values}
        case float():
            return {"doubleValues": values}
        case list():
            return {"arrayValues": [_array(value) for value in values]}
        case _:
            return {"stringValues": [_text(value) for value in values]}


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case Decimal():
            return str(value)
        case datetime():
            return value.replace(tzinfo=None).isoformat(" ")
        case dict():
            return json.dumps(value)
        case _:
            return str(value)
