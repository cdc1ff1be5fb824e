"""The soak finds a sync that is broken: each guard is taken away in turn."""

from collections.abc import Callable
from random import Random
from time import sleep
from typing import Any

import pytest
from botocore.exceptions import ClientError
from msgspec.structs import replace

from pipeline import batch, changes
from pipeline.auth0 import exports
from pipeline.changes import Carried, Outcome
from pipeline.errors import Retry
from pipeline.functions import sync
from pipeline.sinks import dynamodb, postgres
from pipeline.sinks.postgres import GUARD
from tests.soak.soak import WrongError, soak
from tests.soak.stores import DynamoDBWriter

HISTORIES = 300
"""Within so many the soak must have found what is broken; most of it shows within ten."""

CONDITION = {"ConditionExpression", "ExpressionAttributeValues"}


def statement(monkeypatch: pytest.MonkeyPatch, guard: str) -> None:
    assert postgres.UPSERT.count(GUARD) == 1
    broken = postgres.UPSERT.replace(GUARD, guard)
    monkeypatch.setattr(postgres, "UPSERT", broken)
    monkeypatch.setattr(postgres, "RECORD_AND_UPSERT", f"WITH recorded AS ({postgres.RECORD})\n{broken}")


def no_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    statement(monkeypatch, "")


def the_wrong_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    statement(monkeypatch, GUARD.replace("<", ">"))


def by_updated_at_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    statement(monkeypatch, "WHERE stored.updated_at < excluded.updated_at")


def ties_to_the_last_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    statement(monkeypatch, "WHERE stored.updated_at <= excluded.updated_at")


def tombstones_rank_as_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_TOMBSTONE_RANK", "1")


def rows_of_exports_rank_as_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_EXPORTED_RANK", changes._SNAPSHOT_RANK)


def rows_carry(monkeypatch: pytest.MonkeyPatch, carried: Callable[[str], Carried]) -> None:
    def otherwise(*given: Any) -> Any:
        change, notes = changes.exported(*given)
        return replace(change, carried=carried(change.version)), notes

    monkeypatch.setattr(exports, "exported", otherwise)


def what_was_not_exported_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    rows_carry(monkeypatch, Carried)


def what_was_exported_empty_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    rows_carry(monkeypatch, lambda _: Carried())


def no_event_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_event_time", lambda time, default: default)


def times_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "instant", lambda text: text)
    monkeypatch.setattr(sync, "event_times", lambda *_: [])  # the lag can only be told of instants


def no_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    put = DynamoDBWriter.put_item

    def unconditional(self: DynamoDBWriter, **request: Any) -> Any:
        return put(self, **{name: request[name] for name in request.keys() - CONDITION})

    monkeypatch.setattr(DynamoDBWriter, "put_item", unconditional)


def only_new_items(monkeypatch: pytest.MonkeyPatch) -> None:
    put = DynamoDBWriter.put_item

    def first(self: DynamoDBWriter, **request: Any) -> Any:
        rest = {name: request[name] for name in request.keys() - CONDITION}
        return put(self, ConditionExpression="attribute_not_exists(user_id)", **rest)

    monkeypatch.setattr(DynamoDBWriter, "put_item", first)


def the_last_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    add = batch._add

    def last(collected: Any, message_id: Any, meaning: Any) -> None:
        collected.newest.pop(getattr(meaning, "user_id", None), None)
        add(collected, message_id, meaning)

    monkeypatch.setattr(batch, "_add", last)


def failures_are_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "summarize", lambda *given: ([], batch.summarize(*given)[1]))


def a_dead_store_is_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    apply = postgres.PostgresSink.apply

    def quietly(sink: Any, changes: Any, *rest: Any) -> Any:
        try:
            return apply(sink, changes, *rest)
        except Retry:
            return Outcome()

    monkeypatch.setattr(postgres.PostgresSink, "apply", quietly)


def throttling_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    rejected = dynamodb._rejected

    def lenient(error: ClientError) -> Any:
        return "stale" if error.response["Error"]["Code"] in dynamodb._THROTTLED else rejected(error)

    monkeypatch.setattr(dynamodb, "_rejected", lenient)


def what_is_left_out_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "EVENT_STREAM", "none")


def whole_users_clear_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    merge = changes.merge

    def never_whole(one: Any, other: Any) -> Any:
        parts = [known._replace(carried=known.carried or changes.Carried()) for known in (one, other)]
        return merge(*parts)

    for module in (changes, postgres, dynamodb):
        monkeypatch.setattr(module, "merge", never_whole)


def keys_of_the_newest_change_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes.Known, "since", lambda known: dict.fromkeys(known.profile, known.version))


def a_late_whole_user_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    compare = postgres.PostgresSink._compare

    def stale(sink: Any, changes: Any, outcome: Any) -> Any:
        outcome.stale |= {change.user_id for change in compare(sink, changes, outcome)}
        return []

    monkeypatch.setattr(postgres.PostgresSink, "_compare", stale)


def rows_are_merged_whoever_wrote_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MERGE", "RECORD_AND_MERGE"):
        merging = getattr(postgres, name)
        assert merging.count(postgres._AS_SEEN) == 1
        monkeypatch.setattr(postgres, name, merging.replace(postgres._AS_SEEN, ""))

    # Others get time between what is read and what is written; tests/sinks/test_carried.py takes turns by itself.
    def slowly(one: Any, other: Any) -> Any:
        sleep(0.005)
        return changes.merge(one, other)

    monkeypatch.setattr(postgres, "merge", slowly)


BREAKAGES = (
    no_guard, the_wrong_way_round, by_updated_at_alone, ties_to_the_last_writer, tombstones_rank_as_snapshots,
    no_event_time, times_as_they_are_written, no_condition, only_new_items, the_last_of_a_batch,
    failures_are_acknowledged, a_dead_store_is_acknowledged, throttling_is_stale, what_is_left_out_is_empty,
    whole_users_clear_nothing, keys_of_the_newest_change_only, a_late_whole_user_is_stale,
    rows_are_merged_whoever_wrote_meanwhile, rows_of_exports_rank_as_events, what_was_not_exported_is_empty,
    what_was_exported_empty_is_kept,
)  # fmt: skip


def found_after(url: str, **options: Any) -> int | None:
    """How many histories the soak needs to find that something is wrong."""
    with soak(url, **options) as running:
        for seed in range(HISTORIES):
            try:
                running.check(Random(seed), f"{len(options)}.{seed}.")
            except WrongError:
                return seed + 1
    return None


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.__name__)
def test_a_broken_sync_is_found(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, breakage: Callable[[pytest.MonkeyPatch], None]
) -> None:
    breakage(monkeypatch)
    assert found_after(postgres_url) is not None


class Racing(postgres.PostgresSink):
    """Compares whole users before it writes, in two statements: right unless another writer comes between them.

    It leaves others a little time for that.
    """

    def apply(self, changes: Any, history: Any = ()) -> Any:
        outcome = Outcome()
        if history:
            self._record(history, outcome)
        whole = [change for change in changes if change.carried is None]
        rows = self._execute(postgres._VERSIONS, [change.user_id for change in whole]) if whole else []
        stored = {user_id: version for user_id, version, _ in rows}
        newer = [change for change in whole if stored.get(change.user_id, "") < change.version]
        sleep(0.002)
        outcome.failed |= super().apply(newer).failed
        rest = [change for change in changes if change.carried is not None]
        rest += self._compare([change for change in whole if change not in newer], outcome)
        self._merge(rest, {}, outcome)
        return outcome


def test_only_concurrent_writers_find_a_race(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    statement(monkeypatch, "")
    assert found_after(postgres_url, sink=Racing, writers=1) is None
    assert found_after(postgres_url, sink=Racing) is not None
