"""The comparison of `make bench-peers` finds the rows that a peer keeps wrongly."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from benchmarks.peers import verdict
from benchmarks.peers.contestants import Write, copy_and_merge, our_sink, row_by_row, sqlalchemy
from benchmarks.peers.events import shuffled
from benchmarks.peers.reading import COLUMNS, Order, newest, rows
from benchmarks.peers.verdict import ALTERED, EXTRA, MISSING, REVIVED, RIGHT, STALE, TIE, Kept
from pipeline.changes import Snapshot, Tombstone, read

RECORDS = shuffled(events=1_500, users=60, seed=5)
WANTED = verdict.expected(RECORDS)
NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


def kept(connection: psycopg.Connection, peer: AbstractContextManager[Write]) -> dict[str, int]:
    with peer as write:
        for start in range(0, len(RECORDS), 50):
            write(RECORDS[start : start + 50])
    return dict(verdict.compare(WANTED, verdict.stored(connection, "auth0.users")))


def test_our_sink_keeps_the_right_row_of_each_user(postgres_url: str, database: psycopg.Connection) -> None:
    assert kept(database, our_sink(postgres_url)) == {RIGHT: len(WANTED)}


@pytest.mark.parametrize("peer", [row_by_row, sqlalchemy, copy_and_merge])
def test_a_peer_that_compares_times_alone_is_found_wrong(
    postgres_url: str, database: psycopg.Connection, peer: Callable[[str, Order], AbstractContextManager[Write]]
) -> None:
    found = kept(database, peer(postgres_url, "updated_at"))
    assert found.keys() == {RIGHT, TIE, REVIVED}


@pytest.mark.parametrize("peer", [row_by_row, sqlalchemy, copy_and_merge])
def test_a_peer_that_is_given_our_order_is_found_right(
    postgres_url: str, database: psycopg.Connection, peer: Callable[[str, Order], AbstractContextManager[Write]]
) -> None:
    assert kept(database, peer(postgres_url, "version")) == {RIGHT: len(WANTED)}


@pytest.mark.parametrize(
    ("wanted", "found", "expected"),
    [
        (Kept("b", NOON, False, {"a": 1}), Kept("b", NOON, False, {"a": 1}), RIGHT),
        (Kept("b", NOON, False, {"a": 1}), Kept("b", NOON, False, {"a": 2}), ALTERED),
        (Kept("b", NOON, False, {}), Kept("b", NOON + timedelta(hours=1), False, {}), ALTERED),
        (Kept("b", NOON, False, {}), Kept("b", NOON, True, {}), ALTERED),
        (Kept("b", NOON, False, {}), Kept("a", NOON, False, {}), TIE),
        (Kept("b", NOON, False, {}), Kept("a", NOON - timedelta(hours=1), False, {}), STALE),
        (Kept("b", NOON, True, {}), Kept("a", NOON, False, {}), REVIVED),
        (Kept("b", NOON, True, {}), None, MISSING),
        (None, Kept("a", NOON, False, {}), EXTRA),
    ],
)
def test_verdicts(wanted: Kept | None, found: Kept | None, expected: str) -> None:
    def of_user(row: Kept | None) -> dict[str, Kept]:
        return {"auth0|1": row} if row else {}

    assert verdict.compare(of_user(wanted), of_user(found)) == {expected: 1}


def test_peers_get_the_rows_that_the_events_mean() -> None:
    kinds = set()
    for record, row in zip(RECORDS, rows(RECORDS), strict=True):
        [change] = read(record["body"])
        assert isinstance(change, Snapshot | Tombstone)
        kinds.add(type(change))
        values = dict(zip(COLUMNS, row, strict=True))
        for name in ("user_id", "version", "source", "event_id"):
            assert values[name] == getattr(change, name)
        assert (values["deleted_at"] is not None) == isinstance(change, Tombstone)
    assert kinds == {Snapshot, Tombstone}


def test_newest_rows_by_our_order() -> None:
    found = {row[0]: row[COLUMNS.index("event_id")] for row in newest(rows(RECORDS), "version")}
    assert found == {user_id: row.event_id for user_id, row in WANTED.items()}
