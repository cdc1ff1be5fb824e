"""A comparison of two stores: a real Postgres, and pages of a DynamoDB scan made in this process.

Five kinds of differences are planted, and a writer changes users in both stores meanwhile.
"""

import random
import resource
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg

from benchmarks.records import Users
from benchmarks.tables import payload
from pipeline.batch import collect
from pipeline.delivery.consumers import Consumer
from pipeline.functions.migrate import migrate
from pipeline.progress import Quiet
from pipeline.reconcile import STORES
from pipeline.reconcile.canonical import Item
from pipeline.reconcile.dynamodb import DynamoDBUsers, Page
from pipeline.reconcile.look import Report, Stores
from pipeline.reconcile.postgres import PostgresUsers
from pipeline.settings import Database
from pipeline.sinks import dynamodb, postgres
from pipeline.stores.server import Server

TEMPLATES = 1000
PLANTED = 200
"""Users of each kind."""
PAUSE = 0.01
"""Seconds between two changes of the writer."""
PAGE = 400
"""Items of a page; DynamoDB's have a megabyte before the projection."""


class Pages:
    """The scan of a table whose users are copies of templates; ``changed`` replaces some of them."""

    def __init__(self, templates: Sequence[bytes], users: int) -> None:
        self._templates, self._users = templates, users
        self._projected = [_projected(template) for template in templates]
        self.changed: dict[str, Any] = {}
        self.read_units = 0.0

    def scan(self, **request: Any) -> Page:
        """Make a page, and read it as ``ScanRequests`` does."""
        segment, segments = request["Segment"], request["TotalSegments"]
        end = self._users * (segment + 1) // segments
        start = int(request.get("ExclusiveStartKey", {}).get("number", self._users * segment // segments))
        numbers = range(start, min(start + PAGE, end))
        count = len(self._templates)
        templates = self._projected if "ProjectionExpression" in request else self._templates
        made = [b'{"user_id":{"S":"auth0|%d"},%s' % (n, templates[n % count]) for n in numbers]
        self.read_units += sum(len(self._templates[n % count]) + len(str(n)) + 26 for n in numbers) / 8192
        found = msgspec.json.decode(b'{"Items":[' + b",".join(made) + b"]}", type=Page)
        if self.changed:
            found.items = [item for item in map(self._now, found.items) if item is not None]
        if not segment and not start:
            new = [item for user_id, item in list(self.changed.items()) if int(user_id[6:]) >= self._users]
            found.items += msgspec.convert(new, list[Item])
        found.last = {"number": numbers.stop} if numbers.stop < end else None
        return found

    def _now(self, item: Item) -> Item | None:
        if item.id not in self.changed:
            return item
        changed = self.changed[item.id]
        return msgspec.convert(changed, Item) if changed else None

    def batch_get_item(self, **request: Any) -> Any:
        """Return single items."""
        [(table, wanted)] = request["RequestItems"].items()
        ids = [key["user_id"]["S"] for key in wanted["Keys"]]
        return {"Responses": {table: [item for item in map(self.item, ids) if item]}}

    def item(self, user_id: str) -> Any:
        """Return an item."""
        number = int(user_id[6:])
        if user_id in self.changed or number >= self._users:
            return self.changed.get(user_id)
        item = msgspec.json.decode(b"{" + self._templates[number % len(self._templates)])
        return {"user_id": {"S": user_id}, **item}


def _projected(template: bytes) -> bytes:
    """Return the attributes that the comparison by versions asks for."""
    item = msgspec.json.decode(b"{" + template)
    return msgspec.json.encode({name: item[name] for name in ("version", "carried") if name in item})[1:]


def fill(url: str, users: int) -> list[bytes]:
    """Fill Postgres with copies of templates; return the templates' items, as JSON without their first attribute."""
    migrate(Database(url=url))
    records = Users(TEMPLATES).batch(TEMPLATES)
    with postgres.connect(Database(url=url), options="-c timezone=UTC") as connection:
        connection.execute(postgres.UPSERT, (payload(records),))
        connection.execute(
            'CREATE TEMP TABLE template AS SELECT *, row_number() OVER (ORDER BY user_id COLLATE "C") - 1 AS number '
            "FROM auth0.user_rows"
        )
        connection.execute("TRUNCATE auth0.user_rows")
        [(columns,)] = connection.execute(
            "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns "
            "WHERE table_schema = 'auth0' AND table_name = 'user_rows' "
            "AND column_name <> 'user_id' AND is_generated = 'NEVER'"
        ).fetchall()
        indexes = connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'user_rows' AND indexname LIKE 'ix_%'"
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX auth0.{name}")
        connection.execute(
            f"INSERT INTO auth0.user_rows (user_id, {columns}) SELECT 'auth0|' || n, {columns} "
            f"FROM generate_series(0, {users - 1}) AS n JOIN template ON number = n % {TEMPLATES}"
        )
        for _, definition in indexes:
            connection.execute(definition)
        connection.execute("VACUUM ANALYZE auth0.user_rows")
    old = {"synced_at": {"S": "2026-01-01T00:00:00.000+00:00"}}
    items = [dynamodb.item(change) | old for change in sorted(collect(records).changes, key=lambda one: one.user_id)]
    for item in items:
        del item["user_id"]
    return [msgspec.json.encode(item)[1:] for item in items]


def plant(url: str, pages: Pages, users: int) -> Counter[tuple[str, str | None]]:
    """Plant differences; return the number to find, by kind and store."""
    numbers = _planted(users)
    groups = [[f"auth0|{n}" for n in numbers[at : at + PLANTED]] for at in range(0, len(numbers), PLANTED)]
    missing, stale, ghost, different, flying, gone = groups
    with psycopg.connect(url) as connection:
        connection.execute(
            "UPDATE auth0.user_rows SET synced_at = '2026-01-01' WHERE user_id = ANY(%s)",
            [[f"auth0|{number}" for number in numbers]],
        )
        older = "UPDATE auth0.user_rows SET version = '2020' || substr(version, 5) WHERE user_id = ANY(%s)"
        connection.execute("DELETE FROM auth0.user_rows WHERE user_id = ANY(%s)", [missing])
        connection.execute(older, [stale])
        connection.execute(older, [flying])
        connection.execute(
            "UPDATE auth0.user_rows SET user_metadata = user_metadata || '{\"hand\": 1}' WHERE user_id = ANY(%s)",
            [different],
        )
    for user_id in ghost:  # deleted in DynamoDB
        item = pages.item(user_id)
        pages.changed[user_id] = {name: item[name] for name in ("user_id", "source", "event_id", "synced_at")} | {
            "version": {"S": "2027" + item["version"]["S"][4:]},
            "deleted_at": {"S": "2027-01-01T00:00:00.000000Z"},
        }
    for user_id in flying:
        pages.changed[user_id] = pages.item(user_id) | {"synced_at": {"S": datetime.now(UTC).isoformat()}}
    pages.changed |= dict.fromkeys(gone)
    return Counter(
        {
            ("missing", "postgres"): PLANTED,
            ("stale", "postgres"): PLANTED,
            ("ghost", "postgres"): PLANTED,
            ("different", None): PLANTED,
            ("missing", "dynamodb"): PLANTED,
        }
    )


def _planted(users: int) -> list[int]:
    return random.Random(1).sample(range(users), 6 * PLANTED)


def write(url: str, pages: Pages, users: int, stop: threading.Event, written: list[str]) -> None:
    """Change users in one store and then in the other, as live traffic does, but none with a planted difference."""
    planted = {f"auth0|{number}" for number in _planted(users)}
    rng = random.Random(2)
    statement = (
        "UPDATE auth0.user_rows SET version = %s, synced_at = now() "
        "WHERE user_id = %s AND version < %s RETURNING user_id"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        while not stop.wait(PAUSE):
            user_id, now = f"auth0|{rng.randrange(users)}", datetime.now(UTC)
            if user_id in planted:
                continue
            version = f"{now.isoformat()[:26]}Z.1.{now.isoformat()[:26]}Z.{'0' * 16}"
            for store in rng.sample(STORES, 2):
                if store is Consumer.POSTGRES:
                    connection.execute(statement, (version, user_id, version))
                else:
                    pages.changed[user_id] = pages.item(user_id) | {
                        "version": {"S": version},
                        "synced_at": {"S": now.isoformat()},
                    }
            written.append(user_id)


def measure(url: str, pages: Pages, users: int, settled: datetime, *, contents: bool) -> dict[str, Any]:
    """Compare once while users change."""
    stop, written = threading.Event(), list[str]()
    writer = threading.Thread(target=write, args=(url, pages, users, stop, written))
    began, cpu = time.perf_counter(), time.process_time()
    writer.start()
    try:
        with Server(Database(url=url), seconds=600) as server:
            client: Any = pages
            items = DynamoDBUsers(client, client, "users", contents=contents)
            stores = Stores(PostgresUsers(server, contents=contents), items)
            report: Report = stores.look(lambda: dict.fromkeys(STORES, settled), Quiet())
    finally:
        stop.set()
        writer.join()
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "found": {f"{kind} in {store}": number for (kind, store), number in sorted(report.counts.items(), key=str)},
        "in_flight": report.in_flight,
        "changed_meanwhile": len(written),
        "buckets": report.buckets,
        "read": report.read,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def run(url: str, users: int) -> dict[str, Any]:
    """Return the seconds of a comparison by versions and by contents, with its findings."""
    pages = Pages(fill(url, users), users)
    settled = datetime.now(UTC)
    planted = plant(url, pages, users)
    expected = {f"{kind} in {store}": number for (kind, store), number in planted.items()}
    figures: dict[str, Any] = {"users": users, "gigabytes_scanned": 0, "planted": expected}
    for contents in (False, True):
        pages.read_units = 0
        found = measure(url, pages, users, settled, contents=contents)
        wanted = {name: number for name, number in expected.items() if contents or "different" not in name}
        assert found["found"] == wanted, (found, wanted)
        figures["contents" if contents else "versions"] = found
    figures["gigabytes_scanned"] = round(pages.read_units * 8192 / 2**30, 2)
    return figures
