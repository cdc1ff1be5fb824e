"""The content of each store in one form, for tests that every sink passes."""

import json
from typing import Any, NamedTuple, Protocol

import psycopg
import psycopg.sql
from boto3.dynamodb.types import TypeDeserializer
from psycopg.rows import dict_row

from pipeline.sinks import Sink
from pipeline.sinks.dynamodb import DynamoDBSink
from pipeline.sinks.postgres import PostgresSink

Json = dict[str, Any]

METADATA = ("user_metadata", "app_metadata")


class Stored(NamedTuple):
    """A user without metadata that are empty, or the tombstone of one, whose ``profile`` is None."""

    version: str
    source: str
    event_id: str
    profile: Json | None
    carried: Any
    """Its versions of single keys, as the store holds them; None for a user that came as a whole."""


class Store(Protocol):
    """A sink, and what is in its store."""

    write: str
    """Name of the sink's method that writes what was merged with what it read."""

    @property
    def sink(self) -> Sink:
        """Return the sink that writes to the store."""
        ...

    @property
    def stored(self) -> dict[str, Stored]:
        """Return the users by id, tombstones included."""
        ...

    def empty(self) -> None:
        """Delete all users."""
        ...

    def damage(self, user_id: str, part: str) -> None:
        """Change ``carried`` or ``profile`` of a user by hand, so that it has no form in which a sink writes it."""
        ...


def users(store: Store) -> dict[str, Json]:
    """Return the profiles of the users who are not deleted, by user id."""
    return {user_id: row.profile for user_id, row in store.stored.items() if row.profile is not None}


class Rows:
    """A Postgres sink, and the users in it."""

    write = "_write"

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.sink = PostgresSink(lambda: connection)

    @property
    def stored(self) -> dict[str, Stored]:
        """See ``Store``."""
        rows = self.connection.cursor(row_factory=dict_row).execute("SELECT * FROM auth0.users").fetchall()
        return {
            row["user_id"]: Stored(
                row["version"], row["source"], row["event_id"],
                shown(row["profile"]) if row["deleted_at"] is None else None, row["carried"],
            )
            for row in rows
        }  # fmt: skip

    def empty(self) -> None:
        """See ``Store``."""
        self.connection.execute("TRUNCATE auth0.user_rows")

    def damage(self, user_id: str, part: str) -> None:
        """See ``Store``."""
        column = psycopg.sql.Identifier(part)
        change = psycopg.sql.SQL("UPDATE auth0.user_rows SET {} = '[1]' WHERE user_id = %s").format(column)
        self.connection.execute(change, [user_id])


class Table:
    """A users table, and what is in it as Python values."""

    def __init__(self, client: Any, name: str) -> None:
        self.client, self.name = client, name

    @property
    def items(self) -> dict[str, Json]:
        """Return the items by user id."""
        read = TypeDeserializer().deserialize
        pages = self.client.get_paginator("scan").paginate(TableName=self.name, ConsistentRead=True)
        found = [{key: read(value) for key, value in item.items()} for page in pages for item in page["Items"]]
        return {item["user_id"]: item for item in found}

    def empty(self) -> None:
        """Delete all items."""
        for user_id in self.items:
            self.client.delete_item(TableName=self.name, Key={"user_id": {"S": user_id}})


class Items:
    """A DynamoDB sink, and the users in it."""

    write = "_put_if"

    def __init__(self, sink: DynamoDBSink, table: Table) -> None:
        self.sink, self.table = sink, table

    @property
    def stored(self) -> dict[str, Stored]:
        """See ``Store``."""
        return {
            user_id: Stored(
                item["version"], item["source"], item["event_id"],
                None if "deleted_at" in item else shown(_profile(item) | _metadata(item)), item.get("carried"),
            )
            for user_id, item in self.table.items.items()
        }  # fmt: skip

    def empty(self) -> None:
        """See ``Store``."""
        self.table.empty()

    def damage(self, user_id: str, part: str) -> None:
        """See ``Store``."""
        self.table.client.update_item(
            TableName=self.table.name,
            Key={"user_id": {"S": user_id}},
            UpdateExpression="SET #part = :odd",
            ExpressionAttributeNames={"#part": part},
            ExpressionAttributeValues={":odd": {"S": "[1]"}},
        )


def _profile(item: Json) -> Json:
    """Return the profile, which is its JSON text where it has an empty key."""
    found: Json = json.loads(item["profile"]) if isinstance(item["profile"], str) else item["profile"]
    return found


def _metadata(item: Json) -> Json:
    return {name: item[name] for name in METADATA if name in item}


def shown(profile: Json) -> Json:
    """Leave out empty metadata: in DynamoDB every item has them, and in Postgres the user as Auth0 sent it."""
    return {name: value for name, value in profile.items() if name not in METADATA or value}
