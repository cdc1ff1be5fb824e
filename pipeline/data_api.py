"""SQL over HTTPS through the RDS Data API, for clients outside the VPC. One statement per call."""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

import msgspec
from botocore import exceptions

from pipeline import query
from pipeline.errors import Auth0SyncError
from pipeline.settings import Cluster

T = TypeVar("T")

PAUSE: Final = 2.0
"""Seconds between two tries."""


class Client(Protocol):
    """The part of boto3's client ``rds-data`` that this module uses."""

    def begin_transaction(self, **arguments: Any) -> Any:
        """Begin a transaction and return its ``transactionId``."""

    def execute_statement(self, **arguments: Any) -> Any:
        """Run a statement and return ``records`` and ``columnMetadata``."""

    def commit_transaction(self, **arguments: Any) -> Any:
        """Commit ``transactionId``."""

    def rollback_transaction(self, **arguments: Any) -> Any:
        """Roll back ``transactionId``."""


class DataApiError(Auth0SyncError):
    """The RDS Data API refused the call."""


class Unavailable(DataApiError):
    """The database does not answer. Try again in a minute; the cluster's events in the RDS console say what it does."""


class Unreachable(Unavailable):
    """The RDS Data API cannot be reached. Check the network and AWS_DEFAULT_REGION."""


class NotAllowed(DataApiError):
    """AWS does not allow the call. It takes rds-data on the cluster, and secretsmanager:GetSecretValue on the secret
    (with kms:Decrypt on its key)."""


class Refused(DataApiError):
    """Postgres refused the statement."""


class TimedOut(Unavailable, query.TimedOut):
    """The statement took longer than the 45 seconds that the Data API allows. Ask for less, or use another way into
    the database."""


class TooLarge(DataApiError):
    """The answer is larger than the Data API returns, which is 1 MiB and 64 KB a row. Ask for fewer columns, or add a
    LIMIT."""


class NotShown(DataApiError):
    """The answer has a type that the Data API does not return. Cast the column to text, as in name::text."""


class Transaction:
    """Statements in one transaction: commit at the end of the ``with`` block, roll back if it raises."""

    def __init__(self, client: Client, cluster: Cluster) -> None:
        self._client = client
        self._target = {"resourceArn": cluster.arn, "secretArn": cluster.secret_arn}
        begun = call(client.begin_transaction, **self._target, database=cluster.database)
        self._id: dict[str, str] = {"transactionId": begun["transactionId"]}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            call(self._client.commit_transaction, **self._target, **self._id)
            return
        with suppress(DataApiError):  # keep the first error; an abandoned transaction times out
            self.roll_back()

    def execute(self, statement: str) -> query.Result:
        """Run one statement; ``timestamptz`` is in UTC. Raises a ``DataApiError``."""
        answer = call(
            self._client.execute_statement, **self._target, **self._id, sql=statement, includeResultMetadata=True
        )
        columns = answer.get("columnMetadata", [])
        types = [column.get("typeName", "") for column in columns]
        return query.Result(
            tuple(column.get("label") or column.get("name", "") for column in columns),
            [tuple(map(_value, types, record)) for record in answer.get("records", [])],
        )

    def roll_back(self) -> None:
        """Undo everything. Raises a ``DataApiError``."""
        call(self._client.rollback_transaction, **self._target, **self._id)


def retry_until(
    work: Callable[[], T],
    deadline: float,
    *,
    propagation: float = 0.0,
    give_up_on: tuple[type[DataApiError], ...] = (),
) -> T:
    """Return the result of ``work``; try it again while the database is ``Unavailable``.

    The first call to a paused Aurora cluster resumes it and fails; 15 to 30 seconds later a call succeeds. At
    ``deadline``, by ``time.monotonic``, raises the last ``Unavailable``. For ``propagation`` seconds, ``NotAllowed`` is
    tried again as well: IAM applies a new policy with a delay. Errors in ``give_up_on`` are raised at once.
    """
    allowed = time.monotonic() + propagation
    while True:
        try:
            return work()
        except give_up_on:
            raise
        except (Unavailable, NotAllowed) as error:
            last = deadline if isinstance(error, Unavailable) else min(allowed, deadline)
            if time.monotonic() + PAUSE > last:
                raise
        time.sleep(PAUSE)


# Errors

_UNAVAILABLE: Final = {
    "DatabaseNotFoundException",  # the cluster has no instance yet
    "DatabaseResumingException",
    "DatabaseUnavailableException",
    "HttpEndpointNotEnabledException",  # for a moment after the creation of the cluster
    "InternalServerErrorException",
    "InternalServiceError",  # of Secrets Manager
    "InvalidResourceStateException",
    "ServiceUnavailableError",
    "ThrottlingException",
}
_NOT_ALLOWED: Final = {"AccessDeniedException", "ForbiddenException", "SecretsErrorException", "InvalidSecretException"}
# BadRequestException: the Data API may not read the secret, or use its key, in the caller's name.
_MISSING_RIGHT: Final = re.compile(r"not authorized|access ?denied|\bKMS\b", re.IGNORECASE)
_SQLSTATE: Final = re.compile(r"SQLState: (\w{5})")
# Connection lost or refused, server starting or shutting down, deadlock, lock not available, too many connections.
_AGAIN: Final = ("08", "57P", "40", "55P03", "53300")


def call(operation: Callable[..., Any], **arguments: Any) -> Any:
    """Call an operation of AWS. Raises a ``DataApiError``."""
    try:
        return operation(**arguments)
    except exceptions.ClientError as error:
        raise _classify(error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")) from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise Unreachable(f"{type(error).__name__}: {error}") from error
    except exceptions.BotoCoreError as error:
        raise DataApiError(f"{type(error).__name__}: {error}") from error


def _classify(code: str, message: str) -> DataApiError:
    said = f"{code}: {message}" if message else code
    state = _SQLSTATE.search(message)
    if (state and state[1] == "57014") or code == "StatementTimeoutException":
        return TimedOut(said)
    if (
        code in _UNAVAILABLE
        or "Communications link failure" in message
        or "tuple concurrently" in message  # another session granted or revoked at the same moment
        or (state and state[1].startswith(_AGAIN))
    ):
        return Unavailable(said)
    if code in _NOT_ALLOWED or (code == "BadRequestException" and not state and _MISSING_RIGHT.search(message)):
        return NotAllowed(said)
    if "size limit" in message or "too large" in message:
        return TooLarge(said)
    if code == "UnsupportedResultException":
        return NotShown(said)
    if state or code in ("DatabaseErrorException", "BadRequestException"):
        return Refused(message)
    return DataApiError(said)


# Values


def _value(kind: str, field: dict[str, Any]) -> Any:
    if field.get("isNull"):
        return None
    [(held, value)] = field.items()
    match held:
        case "stringValue":
            return _parsed(kind, value)
        case "arrayValue":
            return _items(kind.removeprefix("_"), value)
        case "blobValue":
            return rf"\x{value.hex()}"
        case _:
            return value


def _items(kind: str, array: dict[str, list[Any]]) -> list[Any]:
    [(held, values)] = array.items()
    match held:
        case "stringValues":
            return [_parsed(kind, value) for value in values]
        case "arrayValues":
            return [_items(kind, value) for value in values]
        case _:
            return values


def _parsed(kind: str, text: str) -> Any:
    with suppress(ValueError, ArithmeticError, RecursionError):  # such as infinity: beyond Python's dates
        match kind:
            case "json" | "jsonb":
                return msgspec.json.decode(text)
            case "numeric":
                return Decimal(text)
            case "date":
                return date.fromisoformat(text)
            case "timestamp":
                return datetime.fromisoformat(text)
            case "timestamptz":
                moment = datetime.fromisoformat(text)
                return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return text
