"""Planted differences are found, each by its kind and its store, and nothing else."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from pipeline.data_api import TimedOut, TooLarge
from pipeline.delivery.consumers import Consumer
from pipeline.progress import Quiet
from pipeline.reconcile import Kind
from pipeline.reconcile.digests import Digest, Listing, differing
from pipeline.reconcile.postgres import PostgresUsers
from pipeline.stores.server import Server
from tests.reconcile.world import Pages, World
from tests.strategies import deleted, updated, user

POSTGRES, DYNAMODB = Consumer.POSTGRES, Consumer.DYNAMODB
OLD, NEW, LATE = "2026-01-15T09:00:00.000Z", "2026-01-15T10:00:00.000Z", "2026-01-15T11:00:00.000Z"


def version(key: str, at: str = OLD, **fields: Any) -> Any:
    return updated(user(f"auth0|{key}", at, **fields), date=at, log_id=f"{key}-{at}")


def plant(both: World) -> dict[str, tuple[Kind, Consumer | None]]:
    """Make every kind of difference in both stores, among 40 users that are equal; return what must be found."""
    both.apply(*(version(f"{number}", user_metadata={"number": number}) for number in range(40)))
    both.apply(deleted("auth0|39", date=NEW))
    found: dict[str, tuple[Kind, Consumer | None]] = {}
    for behind, ahead in ((POSTGRES, DYNAMODB), (DYNAMODB, POSTGRES)):
        both.apply(version(f"missing in {behind}"), to=[ahead])
        both.apply(version(f"stale in {behind}"), version(f"ghost in {behind}"), version(f"late {behind}"))
        both.apply(version(f"stale in {behind}", NEW, name="Grace"), to=[ahead])
        both.apply(deleted(f"auth0|ghost in {behind}", date=NEW), to=[ahead])
        both.apply(deleted(f"auth0|late {behind}", date=NEW))
        both.apply(version(f"late {behind}", LATE), to=[ahead])
        both.apply(deleted(f"auth0|tombstone only in {ahead}", date=NEW), to=[ahead])
        found |= {
            f"auth0|missing in {behind}": (Kind.MISSING, behind),
            f"auth0|stale in {behind}": (Kind.STALE, behind),
            f"auth0|ghost in {behind}": (Kind.GHOST, behind),
            f"auth0|late {behind}": (Kind.STALE, behind),
        }
    both.apply(version("by hand in postgres"), version("by hand in dynamodb"))
    both.sql(
        "UPDATE auth0.user_rows SET user_metadata = '{\"plan\": \"pro\"}' WHERE user_id = 'auth0|by hand in postgres'"
    )
    both.dynamodb.table["auth0|by hand in dynamodb"]["profile"]["M"]["blocked"] = {"BOOL": True}
    return found | {f"auth0|by hand in {store}": (Kind.DIFFERENT, None) for store in (POSTGRES, DYNAMODB)}


def test_every_kind_is_found_and_nothing_else(both: World) -> None:
    planted = plant(both)
    report = both.look()
    assert {one.user_id: (one.kind, one.store) for one in report.drift} == planted
    assert (report.in_flight, report.users) == (0, {POSTGRES: 39 + 7, DYNAMODB: 39 + 7})
    assert report.read < 30
    found = both.look(contents=False).drift
    by_hand = {user_id for user_id, (kind, _) in planted.items() if kind is Kind.DIFFERENT}
    assert {one.user_id for one in found} == planted.keys() - by_hand


def test_equal_stores_list_nobody(both: World) -> None:
    both.apply(*(version(f"{number}") for number in range(20)))
    report = both.look()
    assert (report.buckets, report.read, report.drift) == (0, 0, [])


def test_a_change_that_may_still_be_in_a_queue_is_in_flight(both: World) -> None:
    planted = plant(both)
    report = both.look(settled=datetime.now(UTC) - timedelta(minutes=5))
    assert (report.drift, report.in_flight) == ([], len(planted))


def test_live_traffic_makes_no_difference(both: World) -> None:
    """A writer changes both stores, one after the other, during the comparison."""
    planted = plant(both)
    began, stop = datetime.now(UTC), threading.Event()
    turns = 0

    def write() -> None:
        nonlocal turns
        while not stop.is_set():
            turns += 1
            at = (datetime(2026, 2, 1, tzinfo=UTC) + timedelta(seconds=turns)).isoformat()
            both.apply(*(version(f"{number}", at, name=f"{turns}") for number in range(turns % 7, 39, 7)))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(10):
            report = both.look(settled=began)
            assert {one.user_id: (one.kind, one.store) for one in report.drift} == planted
    finally:
        stop.set()
        thread.join()
    assert turns > 3


class Chunks:
    """A reader of few rows a statement, as the Data API is, which is too slow or too large at times."""

    page = 5

    def __init__(self, server: Server, chunk: int = 7) -> None:
        self._server = server
        self.chunk: int | None = chunk
        self.slow, self.large = 0, 2000

    def rows(self, query: Any, *parameters: Any) -> Any:
        if "GROUP BY" in query and self.slow:
            self.slow -= 1
            raise TimedOut
        found = self._server.rows(query, *parameters)
        if "SELECT user_id, hash" in query and len(found) > 3:
            raise TooLarge
        if "profile::text" in query and sum(len(row["profile"]) for row in found) > self.large:
            raise TooLarge
        return found


@pytest.mark.parametrize("slow", [0, 1])
def test_ranges_have_all_users_and_each_once(both: World, slow: int) -> None:
    plant(both)
    whole = PostgresUsers(both.reader, contents=True)
    digests, everybody = whole.digests(), sorted(whole.users(range(4096)))
    chunks = Chunks(both.reader)
    chunks.slow = slow
    parts = PostgresUsers(chunks, contents=True)
    assert parts.digests() == digests
    assert sorted(parts.users(range(4096))) == everybody
    chunks.slow = 100
    with pytest.raises(TimedOut):
        parts.digests()


def test_a_row_that_is_too_large_to_be_read_counts_by_its_hash(both: World) -> None:
    large = {"text": "x" * 5000}
    both.apply(*(version(name, user_metadata=large) for name in ("same", "by hand")), version("stale", name="x" * 5000))
    both.apply(version("stale", NEW, name="x" * 5000), to=[POSTGRES])
    both.sql("UPDATE auth0.user_rows SET app_metadata = '{\"a\": 1}' WHERE user_id = 'auth0|by hand'")
    stores = both.stores()
    stores.postgres = PostgresUsers(Chunks(both.reader), contents=True)
    until = dict.fromkeys((POSTGRES, DYNAMODB), both.now)
    found = stores.look(lambda: until, Quiet()).drift
    assert sorted((one.user_id, one.kind) for one in found) == [
        ("auth0|by hand", Kind.DIFFERENT),
        ("auth0|stale", Kind.STALE),
    ]
    done, left, _ = both.repair(found, trust=POSTGRES)
    assert (left, done.refused) == ([], {})


def test_a_failure_of_postgres_ends_the_scan(both: World) -> None:
    both.apply(*(version(f"{number}") for number in range(40)))
    chunks, pages = Chunks(both.reader), 0
    chunks.slow = 100
    stores = both.stores(segments=1)
    stores.postgres = PostgresUsers(chunks, contents=True)

    def scan(**request: Any) -> Any:
        nonlocal pages
        pages += 1
        time.sleep(0.05)  # Postgres fails before the next page
        return Pages.scan(both.dynamodb, **request)

    both.dynamodb.scan = scan  # type: ignore[method-assign]  # slow pages of this table only
    with pytest.raises(TimedOut):
        stores.look(lambda: dict.fromkeys((POSTGRES, DYNAMODB), both.now), Quiet())
    assert pages < 10


@pytest.mark.parametrize(
    ("error", "outlasted"),
    [
        (ClientError({"Error": {"Code": "ThrottlingException"}}, "Scan"), True),
        (ReadTimeoutError(endpoint_url="https://x"), True),
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "Scan"), False),
    ],
)
def test_a_throttled_scan_goes_on(both: World, error: Any, outlasted: bool) -> None:
    both.apply(*(version(f"{number}") for number in range(9)))
    failures = [error] * 5

    def scan(**request: Any) -> Any:
        if failures:
            raise failures.pop()
        return Pages.scan(both.dynamodb, **request)

    both.dynamodb.scan = scan  # type: ignore[method-assign]  # failures of this table only
    if outlasted:
        assert both.look().users[DYNAMODB] == 9
    else:
        with pytest.raises(ClientError):
            both.look()


def test_digests_and_listings() -> None:
    listing = Listing()
    for number in range(300):
        listing.add(f"auth0|{number}é", f"{number}")
    digests = listing.digests()
    assert sum(digest.users for digest in digests.values()) == 300
    assert differing(digests, digests) == []
    bucket = min(digests)
    assert differing(digests, {**digests, bucket: Digest(digests[bucket].users, 1)}) == [bucket]
    assert differing(digests, {key: value for key, value in digests.items() if key != bucket}) == [bucket]
