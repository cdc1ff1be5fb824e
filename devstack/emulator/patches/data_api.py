"""The RDS Data API on the embedded server of a cluster.

AWS (RDS Data Service API Reference; Aurora User Guide, "Using the Amazon RDS Data API", "Comparing Amazon RDS Data API
behaviors", "Authorizing access to the Amazon RDS Data API", "Troubleshooting"): SQL runs as the user of the secret, in
a transaction of its own or in one that was begun; a call takes one statement, 45 seconds, and returns at most 1 MiB.
What Postgres refuses is a DatabaseErrorException with its message and SQLSTATE. The caller's policies must allow the
operation on the cluster and secretsmanager:GetSecretValue on the secret. A cluster without instances has no database
to run it, and one without HTTP endpoint refuses.

MiniStack: pretends to run some statements, where no container is behind a cluster. It checks the right to the
operation, and not that to the secret.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import json
import threading
from dataclasses import dataclass, field
from typing import Any

import psycopg
from ministack.core import concurrency, responses, router
from ministack.services import rds_data

from devstack.emulator import patching, permissions
from devstack.emulator.aurora import statements
from devstack.emulator.aurora.cluster import Cluster, running
from devstack.emulator.aurora.statements import RefusedError
from devstack.emulator.patches import aurora_parameters

STATEMENT_SECONDS = 45
IDLE_SECONDS = 180

Data = dict[str, Any]
_original: dict[str, Any] = {}
_transactions: dict[str, "Transaction"] = {}


@dataclass
class Transaction:
    """A session with an open transaction, for one call at a time."""

    arn: str
    connection: psycopg.Connection
    lock: threading.Lock = field(default_factory=threading.Lock)


def apply() -> None:
    """Answer for clusters with an embedded server before MiniStack does."""
    patching.require(rds_data, "_require_secret_credentials", "_error")
    patching.require(router, "extract_access_key_id")
    _original["handle_request"] = patching.replace(rds_data, "handle_request", handle_request)


async def handle_request(method: str, path: str, headers: Any, body: Any, query_params: Any) -> Any:
    """Handle every request of the service."""
    try:
        request = json.loads(body or "{}")
    except ValueError:
        request = {}
    cluster = running(request.get("resourceArn", ""))
    operation = _OPERATIONS.get(path)
    if cluster is None or operation is None:
        return await _original["handle_request"](method, path, headers, body, query_params)
    key = router.extract_access_key_id(headers, query_params)

    def answer() -> Any:
        try:
            _check(cluster, key, request)
            return responses.json_response(operation(cluster, request))
        except RefusedError as problem:
            return rds_data._error(problem.code, str(problem), _STATUS.get(problem.code, 400))
        except psycopg.Error as error:
            return _database_error(error)

    return await concurrency.run_reentrant(answer)  # on a thread: a statement may wait for a function's lock


_STATUS = {"TransactionNotFoundException": 404, "DatabaseUnavailableException": 504}


def _check(cluster: Cluster, key: str, request: Data) -> None:
    arn = cluster.record["DBClusterArn"]
    action, secret = "secretsmanager:GetSecretValue", request.get("secretArn", "")
    if not permissions.allowed(key, cluster.account, cluster.region, action, secret):
        message = f"User is not authorized to perform: {action} on resource: {secret}"
        raise RefusedError("ForbiddenException", message)
    if not cluster.record["HttpEndpointEnabled"]:
        message = f"HttpEndpoint is not enabled for resource {arn}"
        raise RefusedError("HttpEndpointNotEnabledException", message)
    if not cluster.has_instance():
        raise RefusedError("DatabaseNotFoundException", f"DB cluster {arn} has no DB instance that is available.")


def _connect(cluster: Cluster, request: Data) -> psycopg.Connection:
    """Open a session of the secret's user."""
    user, password, problem = rds_data._require_secret_credentials(request.get("secretArn", ""))
    if problem:
        raise RefusedError(problem[1]["x-amzn-errortype"], json.loads(problem[2])["message"])
    database = request.get("database") or cluster.record["DatabaseName"] or "postgres"
    refusal = cluster.sign_in(user or "", database, password)
    if refusal:
        raise RefusedError("DatabaseErrorException", f"FATAL: {refusal[1]}; SQLState: {refusal[0]}")
    settings = {
        "timezone": "UTC",
        "datestyle": "ISO",
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
        "application_name": "rds-data-api",
        "rds.force_ssl": aurora_parameters.value(cluster.record, "rds.force_ssl"),
    }
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return cluster.server.connect(user or "", database, options)


def _execute(cluster: Cluster, request: Data) -> Data:
    return _in_session(cluster, request, statements.execute)


def _batch_execute(cluster: Cluster, request: Data) -> Data:
    return _in_session(cluster, request, statements.execute_batch)


def _in_session(cluster: Cluster, request: Data, run: Any) -> Data:
    if not request.get("sql"):
        raise RefusedError("ValidationException", "sql must not be empty.")
    if request.get("schema"):
        raise RefusedError("ValidationException", "The schema parameter isn't supported.")
    if request.get("transactionId"):
        transaction = _transaction(request)
        if not transaction.lock.acquire(blocking=False):
            raise RefusedError("DatabaseErrorException", "Transaction is still running a query")
        try:
            done: Data = run(transaction.connection, request)
        finally:
            transaction.lock.release()
        return done
    with _connect(cluster, request) as connection:
        answer: Data = run(connection, request)
    return answer


def _begin(cluster: Cluster, request: Data) -> Data:
    connection = _connect(cluster, request)
    connection.autocommit = False
    connection.execute("SELECT 1")  # begins it
    name = responses.new_uuid()
    _transactions[name] = Transaction(cluster.record["DBClusterArn"], connection)
    return {"transactionId": name}


def _commit(cluster: Cluster, request: Data) -> Data:  # noqa: ARG001 - as every operation
    connection = _end(request)
    with connection:
        connection.commit()
    return {"transactionStatus": "Transaction Committed"}


def _rollback(cluster: Cluster, request: Data) -> Data:  # noqa: ARG001 - as every operation
    connection = _end(request)
    with connection:
        connection.rollback()
    return {"transactionStatus": "Rollback Complete"}


def _transaction(request: Data) -> Transaction:
    name = request.get("transactionId", "")
    transaction = _transactions.get(name)
    if transaction is None or transaction.arn != request["resourceArn"]:
        raise RefusedError("TransactionNotFoundException", f"Transaction {name} is not found")
    return transaction


def _end(request: Data) -> psycopg.Connection:
    connection = _transaction(request).connection
    del _transactions[request["transactionId"]]
    return connection


def _database_error(error: psycopg.Error) -> Any:
    if isinstance(error, psycopg.errors.QueryCanceled):
        return rds_data._error("StatementTimeoutException", "Request timed out", 400)
    message = f"{error.diag.severity or 'ERROR'}: {error.diag.message_primary or error}"
    if error.diag.message_hint:
        message += f"; Hint: {error.diag.message_hint}"
    if error.diag.statement_position:
        message += f"; Position: {error.diag.statement_position}"
    return rds_data._error("DatabaseErrorException", f"{message}; SQLState: {error.sqlstate or '08000'}", 400)


_OPERATIONS = {
    "/Execute": _execute,
    "/BatchExecute": _batch_execute,
    "/BeginTransaction": _begin,
    "/CommitTransaction": _commit,
    "/RollbackTransaction": _rollback,
}
