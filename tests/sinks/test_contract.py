"""The contract of sinks; test_carried.py has the rest, for changes that do not carry the whole user."""

from copy import copy
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import errors
from pipeline.batch import collect
from pipeline.changes import Outcome
from tests.sinks.stored import Store, shown, users
from tests.strategies import (
    Log,
    against_a_server,
    changes,
    created,
    deleted,
    delivered,
    newest,
    records,
    text,
    updated,
    user,
)

MOMENTS = [f"2026-01-15T09:00:0{second}.000Z" for second in range(10)]


def told(outcome: Outcome) -> tuple[set[str], set[str], set[str]]:
    return outcome.duplicate, outcome.stale, set(outcome.failed)


def test_new_newer_stale_and_duplicate(store: Store) -> None:
    first = changes(updated(user("a|1", MOMENTS[1], name="first")), updated(user("a|2", MOMENTS[1])))
    assert store.sink.apply(first) == Outcome()
    assert told(store.sink.apply(first)) == ({"a|1", "a|2"}, set(), set())
    mixed = changes(
        updated(user("a|1", MOMENTS[0], name="stale")),
        updated(user("a|2", MOMENTS[2], name="newer")),
        updated(user("a|3", MOMENTS[0], name="new")),
    )
    assert told(store.sink.apply(mixed)) == (set(), {"a|1"}, set())
    assert {user_id: one["name"] for user_id, one in users(store).items()} == {
        "a|1": "first", "a|2": "newer", "a|3": "new",
    }  # fmt: skip


def test_a_user_is_stored_whole_with_its_place_in_the_order(store: Store) -> None:
    profile = user("a|1", user_metadata={"plan": "gold", "n": [1, None, {"": "x"}]}, app_metadata={"roles": ["admin"]})
    [change] = changes(updated(profile, log_id="log-1"))
    store.sink.apply([change])
    [stored] = store.stored.values()
    assert stored[:3] == (change.version, "auth0.logs", "log-1")
    assert stored.carried is None
    assert stored.profile is not None
    assert stored.profile.keys() == profile.keys()
    assert {key: stored.profile[key] for key in profile if key != "user_metadata"} == {
        key: value for key, value in profile.items() if key != "user_metadata"
    }
    assert stored.profile["user_metadata"]["plan"] == "gold"


def test_absent_key_is_empty(store: Store) -> None:
    store.sink.apply(changes(updated(user("a|1", MOMENTS[0], username="x", user_metadata={"a": 1}))))
    bare = {"user_id": "a|1", "updated_at": MOMENTS[1]}
    store.sink.apply(changes(updated(bare)))
    assert users(store) == {"a|1": bare}


def test_a_tombstone_clears_the_user(store: Store) -> None:
    store.sink.apply(changes(updated(user("a|1", MOMENTS[1], user_metadata={"a": 1}))))
    [gone] = changes(deleted("a|1", date=MOMENTS[2], log_id="gone"))
    assert store.sink.apply([gone]) == Outcome()
    assert store.stored == {"a|1": (gone.version, "auth0.logs", "gone", None, None)}


def test_a_late_update_does_not_resurrect_and_a_new_creation_does(store: Store) -> None:
    store.sink.apply(changes(deleted("a|1", date=MOMENTS[2])))
    for late in (MOMENTS[1], MOMENTS[2]):
        assert store.sink.apply(changes(updated(user("a|1", late), date=MOMENTS[9]))).stale == {"a|1"}
    assert users(store) == {}
    profile = user("a|1", MOMENTS[3])
    assert store.sink.apply(changes(created(profile))) == Outcome()
    assert users(store) == {"a|1": profile}


def test_empty_batch_is_accepted(store: Store) -> None:
    assert store.sink.apply([]) == Outcome()
    assert store.stored == {}


def test_unstorable_user_fails_alone(store: Store) -> None:
    """No number of the profile is one that either store, or Python, can hold."""
    bad = [text(updated(user(f"a|{number}", n="@@"))).replace('"@@"', "1" + "0" * 200_000) for number in (3, 7)]
    good = [updated(user(f"a|{number}")) for number in range(10) if number not in (3, 7)]
    outcome = store.sink.apply(changes(*good, *bad))
    failed = {"a|3", "a|7"} - users(store).keys()
    assert told(outcome) == (set(), set(), failed)
    assert all(isinstance(error, errors.Refused) for error in outcome.failed.values())
    assert users(store).keys() | failed == {f"a|{number}" for number in range(10)}


def test_chunks_are_read_and_applied_in_turn(store: Store) -> None:
    batches = [collect(records(updated(user(f"a|{number}")))) for number in range(5)]
    assert list(store.sink.write(batches, copy)) == [(batch, Outcome()) for batch in batches]
    assert [outcome.duplicate for _, outcome in store.sink.write(batches, copy)] == [{f"a|{n}"} for n in range(5)]
    assert list(store.sink.write([], copy)) == []
    assert users(store).keys() == {f"a|{number}" for number in range(5)}


def test_a_chunk_is_applied_before_its_outcome_is_given(store: Store) -> None:
    """A caller that stops after a chunk has stored that one, and not the chunk that the sink read ahead."""
    batches = [collect(records(updated(user(f"a|{number}")))) for number in range(3)]
    for batch, _ in store.sink.write(batches, copy):
        assert batch is not None
        break
    assert users(store).keys() == {"a|0"}
    assert [outcome for _, outcome in store.sink.write(batches[1:], copy)] == [Outcome()] * 2
    assert users(store).keys() == {"a|0", "a|1", "a|2"}


@settings(against_a_server, max_examples=15)
@given(delivered())
def test_any_delivery_ends_in_the_newest_change_of_each_user(
    store: Store, case: tuple[list[Log], list[list[Log]]]
) -> None:
    logs, batches = case
    store.empty()
    for batch in batches:
        assert store.sink.apply(changes(*(entry.body for entry in batch))).failed == {}
    stored, model = store.stored, newest(logs)
    assert {user_id: (row.event_id, row.profile is None) for user_id, row in stored.items()} == {
        user_id: (entry.log_id, entry.gone) for user_id, entry in model.items()
    }
    assert users(store) == {user_id: shown(entry.profile) for user_id, entry in model.items() if not entry.gone}
    everything = changes(*(entry.body for entry in logs))
    assert {user_id: row.version for user_id, row in stored.items()} == {one.user_id: one.version for one in everything}


@settings(against_a_server, max_examples=5)
@given(delivered(), st.randoms(use_true_random=False))
def test_repeated_change_changes_nothing(store: Store, case: tuple[list[Log], list[list[Log]]], rng: Random) -> None:
    _, batches = case
    store.empty()
    for batch in batches:
        store.sink.apply(changes(*(entry.body for entry in batch)))
    before = store.stored
    again = [entry for batch in batches for entry in batch]
    rng.shuffle(again)
    applied = changes(*(entry.body for entry in again))
    outcome = store.sink.apply(applied)
    assert outcome.duplicate | outcome.stale == {change.user_id for change in applied}
    assert store.stored == before
