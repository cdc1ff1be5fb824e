"""The stores behind the real handler: writers with sinks of their own, faults between the steps, and what is stored."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from unittest.mock import MagicMock

import psycopg
from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ClientError, ReadTimeoutError

from devstack.traffic import sqs_record
from pipeline.backfill.load import load
from pipeline.errors import Retry
from pipeline.functions.sync import CHUNK, Sync
from pipeline.settings import Database
from pipeline.sinks import Sink
from pipeline.sinks.dynamodb import DynamoDBSink
from pipeline.sinks.postgres import PostgresSink, connect
from tests.soak.histories import Message, State
from tests.strategies import Json

STATEMENT_FAULTS = ("", "", "broken before", "broken after", "busy")
"""What may happen to a statement: nothing, the connection breaks before or after it is done, a lock times out."""
PUT_FAULTS = ("throttled", "error", "timed out after")


class Writer:
    """An execution environment of the function: a sink of its own, and the faults that its next invocation meets."""

    name: str
    sink: Sink
    history = False
    chunk = CHUNK

    def __init__(self) -> None:
        self.faults: Any = None

    def deliver(self, batch: Mapping[str, Message], faults: Any) -> set[str]:
        """Invoke the function with events, and load slices of exports; return the ids of the acknowledged messages."""
        records = [sqs_record(message.body, key) for key, message in batch.items() if message.export is None]
        done = self.invoke(records, faults) if records else set()
        self.faults = faults
        try:
            return done | {key for key, message in batch.items() if message.export and self._loads(message)}
        finally:
            self.faults = None

    def invoke(self, records: Sequence[Json], faults: Any) -> set[str]:
        """Invoke the function; the ids of the messages that it acknowledges.

        Its logger and metrics are silent: the real ones are made for one invocation at a time, as Lambda has it.
        """
        function = Sync(
            self.sink, self.name, history=self.history, chunk=self.chunk, log=MagicMock(), measure=lambda *_: None
        )
        self.faults = faults
        try:
            answer = function(records)
        except Retry:
            return set()
        finally:
            self.faults = None
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        return {record["messageId"] for record in records} - failed

    def _loads(self, message: Message) -> bool:
        """Return whether the store takes the users in a slice of an export."""
        assert message.export is not None
        lines = message.body.encode().splitlines()
        try:
            loaded, refused = load(self.sink, lines, message.export, self.chunk)
        except Retry:
            return False
        assert refused == []
        assert loaded.rows == len(lines)
        assert loaded.rows == loaded.applied + loaded.duplicate + loaded.stale + loaded.odd
        return True


class PostgresWriter(Writer):
    """``faults`` are those of the statements to come, in turn."""

    name = "postgres"

    def __init__(self, url: str, sink: Callable[[Any], PostgresSink]) -> None:
        super().__init__()
        self.sink = sink(lambda: _Connection(connect(Database(url=url)), self))

    def close(self) -> None:
        self.sink.close()


class _Connection:
    def __init__(self, connection: psycopg.Connection, writer: Writer) -> None:
        self._connection, self._writer = connection, writer
        self.broken = False
        self._pipelined = self._lost = False
        self.pgconn, self.fileno = connection.pgconn, connection.fileno

    @contextmanager
    def pipeline(self) -> Iterator[None]:
        """In which a statement is committed at the end, and what is lost after that is lost there."""
        with self._connection.pipeline():
            self._pipelined = True
            try:
                yield
            finally:
                self._pipelined = False
        if self._lost:
            self._break()

    def execute(self, *arguments: Any, **options: Any) -> Any:
        fault = self._writer.faults.pop() if self._writer.faults else ""
        if fault == "busy":
            raise psycopg.errors.LockNotAvailable
        if fault == "broken before":
            self._break()
        done = self._connection.execute(*arguments, **options)
        if fault == "broken after":
            self._lost = True
            if not self._pipelined:
                self._break()
        return done

    def close(self) -> None:
        self._connection.close()

    def _break(self) -> None:
        self.broken = True
        raise psycopg.OperationalError("server closed the connection unexpectedly")


class DynamoDBWriter(Writer):
    """``faults`` are by user id."""

    name = "dynamodb"

    def __init__(self, client: Any, table: str) -> None:
        super().__init__()
        self._client = client
        flaky: Any = self
        self.sink = DynamoDBSink(flaky, table, threads=4)

    def put_item(self, **request: Any) -> Any:
        match (self.faults or {}).get(request["Item"]["user_id"]["S"]):
            case "throttled":
                raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "PutItem")
            case "error":
                raise ClientError({"Error": {"Code": "InternalServerError"}}, "PutItem")
            case "timed out after":
                self._client.put_item(**request)
                raise ReadTimeoutError(endpoint_url="http://dynamodb")
        return self._client.put_item(**request)

    def get_item(self, **request: Any) -> Any:
        if (self.faults or {}).get(request["Key"]["user_id"]["S"]) == "error":
            raise ClientError({"Error": {"Code": "InternalServerError"}}, "GetItem")
        return self._client.get_item(**request)

    def close(self) -> None:
        self.sink.close()


_ROWS = """
SELECT user_id, event_id, source, updated_at, deleted_at, profile, user_metadata, app_metadata, version
FROM auth0.users WHERE user_id = ANY(%s)
"""
_HISTORY = """
SELECT user_id, event_id, user_metadata, app_metadata FROM auth0.metadata_history WHERE user_id = ANY(%s)
"""


def rows(connection: psycopg.Connection, user_ids: Sequence[str]) -> dict[str, tuple[State, str]]:
    """The users' states and versions in Postgres."""
    found = connection.execute(_ROWS, [list(user_ids)]).fetchall()
    return {row[0]: (State(*row[1:-1]), row[-1]) for row in found}


def recorded(connection: psycopg.Connection, user_ids: Sequence[str]) -> list[tuple[str, str, Any, Any]]:
    """User id, event id and metadata of each row of the history."""
    return connection.execute(_HISTORY, [list(user_ids)]).fetchall()


def state(item: Json) -> tuple[State, str]:
    """The state and version of an item of DynamoDB, in its own JSON."""
    read = TypeDeserializer().deserialize
    value = {name: read(attribute) for name, attribute in item.items()}
    gone = value.get("deleted_at")
    profile = value.get("profile", {})
    metadata = {name: value[name] for name in ("user_metadata", "app_metadata") if value.get(name)}
    return (
        State(
            value["event_id"],
            value["source"],
            datetime.fromisoformat(value["updated_at"]),
            gone and datetime.fromisoformat(gone),
            profile | metadata,
            metadata.get("user_metadata", {}),
            metadata.get("app_metadata", {}),
        ),
        value["version"],
    )
