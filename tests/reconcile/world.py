"""Both stores, each with its sink: a real Postgres, and a DynamoDB in this process."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from pipeline.changes import Change
from pipeline.delivery import Sent
from pipeline.delivery.consumers import Consumer
from pipeline.progress import Quiet
from pipeline.reconcile import STORES, Difference
from pipeline.reconcile.dynamodb import DynamoDBUsers
from pipeline.reconcile.fix import Repair, look_again, repair
from pipeline.reconcile.look import Report, Stores
from pipeline.reconcile.postgres import PostgresUsers
from pipeline.settings import Database
from pipeline.sinks import Sink
from pipeline.sinks.dynamodb import DynamoDBSink
from pipeline.sinks.postgres import PostgresSink, connect
from pipeline.stores.server import Server
from tests.soak.fake_dynamodb import FakeDynamoDB
from tests.strategies import Json, changes

TABLE = "users"


class Pages(FakeDynamoDB):
    """Also reads the table in segments and pages, and items in batches."""

    page = 3

    def scan(self, **request: Any) -> Json:
        """Return a page; with a projection, only its attributes."""
        segments, names = request["TotalSegments"], request.get("ProjectionExpression")
        mine = sorted(key for key in self.table if zlib.crc32(key.encode()) % segments == request["Segment"])
        after = request.get("ExclusiveStartKey", {}).get("user_id", {}).get("S", "")
        keys = [key for key in mine if key > after][: self.page]
        kept = names.split(", ") if names else None
        items = [{name: value for name, value in self.table[key].items() if not kept or name in kept} for key in keys]
        more = keys and keys[-1] != mine[-1]
        return {"Items": items, **({"LastEvaluatedKey": {"user_id": {"S": keys[-1]}}} if more else {})}

    def batch_get_item(self, *, RequestItems: Json) -> Json:  # noqa: N803 - boto3's name
        """Return the items of the first keys; the others are unprocessed."""
        [(table, wanted)] = RequestItems.items()
        keys = [key["user_id"]["S"] for key in wanted["Keys"]]
        found = [self.table[key] for key in keys[: self.page] if key in self.table]
        rest = {table: wanted | {"Keys": wanted["Keys"][self.page :]}} if keys[self.page :] else {}
        return {"Responses": {table: found}, "UnprocessedKeys": rest}

    @property
    def table(self) -> dict[str, Json]:
        """Items by user id."""
        return self.items.setdefault(TABLE, {})


class Straight:
    """A queue whose messages the sink takes at once."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.sent = 0

    def send(self, bodies: Sequence[str]) -> Sent:
        """Let the sink write the changes in the bodies."""
        self.sent += len(bodies)
        assert self.sink.apply(changes(*bodies)).failed == {}
        return Sent({})


@dataclass
class World:
    """Both stores."""

    url: str
    reader: Server
    dynamodb: Pages
    sinks: dict[Consumer, Sink]
    now: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(hours=1))

    def apply(self, *events: Json | str, to: Sequence[Consumer] = STORES) -> None:
        """Write what events change into stores."""
        for consumer in to:
            self.write(changes(*events), consumer)

    def write(self, what: Sequence[Change], consumer: Consumer) -> None:
        """Write changes into one store."""
        assert self.sinks[consumer].apply(what).failed == {}

    def sql(self, statement: Any, *parameters: Any) -> None:
        """Change Postgres by hand."""
        with psycopg.connect(self.url) as connection:
            connection.execute(statement, parameters)

    def empty(self) -> None:
        """Delete all users from both stores."""
        self.sql("TRUNCATE auth0.user_rows")
        self.dynamodb.table.clear()

    def stores(self, *, contents: bool = True, segments: int = 2) -> Stores:
        """Return both stores as `reconcile` reads them."""
        client: Any = self.dynamodb
        items = DynamoDBUsers(client, client, TABLE, contents=contents, segments=segments, sleep=lambda _: None)
        return Stores(PostgresUsers(self.reader, contents=contents), items)

    def look(self, *, contents: bool = True, settled: datetime | None = None) -> Report:
        """Compare; without `settled` all changes have left the queues."""
        until = dict.fromkeys(STORES, settled or self.now)
        return self.stores(contents=contents).look(lambda: until, Quiet())

    def repair(
        self, drift: Sequence[Difference], trust: Consumer | None = None
    ) -> tuple[Repair, list[Difference], dict[Consumer, int]]:
        """Repair drift; also return the remaining drift, and the number of messages by store."""
        stores, targets = self.stores(), {consumer: Straight(sink) for consumer, sink in self.sinks.items()}
        done = repair(stores, drift, targets, trust=trust)
        left = look_again(stores, drift, done, timeout=0, sleep=lambda _: None)
        return done, left, {consumer: target.sent for consumer, target in targets.items()}


@contextmanager
def world(url: str) -> Iterator[World]:
    """Open both stores over an empty database."""
    database, fake = Database(url=url), Pages()
    with (
        Server(database) as reader,
        closing(PostgresSink(lambda: connect(database))) as rows,
        closing(DynamoDBSink(fake, TABLE, threads=2)) as items,
    ):
        yield World(url, reader, fake, {Consumer.POSTGRES: rows, Consumer.DYNAMODB: items})
