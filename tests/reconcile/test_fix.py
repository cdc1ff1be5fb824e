"""Repairs go through the sinks, leave both stores equal, and never change a user that is right."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.consumers import Consumer
from pipeline.reconcile import Difference, Kind
from pipeline.reconcile.fix import deletions
from tests.reconcile.test_hashes import hashes
from tests.reconcile.test_look import DYNAMODB, NEW, POSTGRES, plant, version
from tests.reconcile.world import World
from tests.sinks.test_carried import KEYS, MOMENTS
from tests.strategies import against_a_server, streamed, updated, user


@pytest.mark.parametrize("trust", [POSTGRES, DYNAMODB])
def test_every_kind_is_repaired(both: World, trust: Consumer) -> None:
    plant(both)
    done, left, messages = both.repair(both.look().drift, trust)
    assert left == []
    assert done.refused == {}
    assert both.look().drift == []
    # Four kinds in each store, and both users of one version in both.
    assert messages == {POSTGRES: 4 + 2, DYNAMODB: 4 + 2}
    items = both.dynamodb.table
    assert items["auth0|by hand in postgres"]["user_metadata"] == {
        "M": {"plan": {"S": "pro"}} if trust is POSTGRES else {}
    }
    assert ("blocked" in items["auth0|by hand in dynamodb"]["profile"]["M"]) is (trust is DYNAMODB)
    assert "deleted_at" in items["auth0|ghost in dynamodb"]


def test_users_of_one_version_are_left_without_trust(both: World) -> None:
    plant(both)
    done, left, _ = both.repair(both.look().drift)
    assert {(one.user_id, one.kind) for one in left} == {
        (f"auth0|by hand in {store}", Kind.DIFFERENT) for store in (POSTGRES, DYNAMODB)
    }
    assert done.refused == {"Untrusted": 2}


def test_a_repair_is_no_change(both: World) -> None:
    """It keeps versions, so a change that overtakes it wins, and the store that was right keeps its row."""
    both.apply(version("1"), to=[POSTGRES])
    drift = both.look().drift
    both.apply(version("1", NEW, name="Grace"), to=[POSTGRES])
    [before] = both.reader.rows("SELECT version, synced_at FROM auth0.users")
    assert both.repair(drift)[1] == []
    assert both.reader.rows("SELECT version, synced_at FROM auth0.users") == [before]
    assert both.dynamodb.table["auth0|1"]["version"]["S"] == before["version"]


def test_a_difference_that_is_gone_is_not_sent(both: World) -> None:
    both.apply(version("1"), to=[POSTGRES])
    drift = both.look().drift
    both.apply(version("1"))
    assert both.repair(drift)[2] == {POSTGRES: 0, DYNAMODB: 0}


@given(st.randoms(use_true_random=False), st.sampled_from([POSTGRES, DYNAMODB]))
@against_a_server
def test_users_of_several_changes_are_equal_afterwards_and_after_later_changes(
    both: World, rng: random.Random, behind: Consumer
) -> None:
    both.empty()
    events: list[Any] = [
        updated(user("a|1", moment, username="ada"), date=moment, log_id=f"log-{at}")
        if rng.random() < 0.3
        else streamed(
            "user.updated",
            {"user_id": "a|1", "updated_at": moment, "name": "A", "nickname": "a"}
            | {key: {"at": at} for key in rng.sample(KEYS, 2)},
            event_id=f"evt_{at}",
            time=moment,
        )
        for at, moment in enumerate(MOMENTS)
    ]
    rng.shuffle(events)
    seen, lost, late = events[:4], events[4:7], events[7:]
    for event in seen:
        both.apply(event)
    for event in lost:
        both.apply(event, to=[store for store in both.sinks if store is not behind])
    drift = both.look().drift
    done, left, _ = both.repair(drift, trust=POSTGRES)
    assert (left, done.refused) == ([], {})
    for event in late:
        both.apply(event)
    # Without a repair the stores may know of different changes, and still have the same values.
    if drift and drift[0].kind is not Kind.DIFFERENT:
        rows, items = hashes(both, contents=True)
        assert rows == items
    assert [one for one in both.look().drift if one.kind is not Kind.DIFFERENT] == []


def test_what_dynamodb_omits_is_not_sent_to_postgres(both: World) -> None:
    large = {"text": "x" * 450_000}
    both.apply(version("1", user_metadata=large))
    assert both.look().drift == []
    both.sql("DELETE FROM auth0.user_rows")
    done, left, _ = both.repair(both.look().drift)
    assert [one.kind for one in left] == [Kind.MISSING]
    assert done.refused == {"NotSent": 1}


def test_many_deletions_need_a_confirmation() -> None:
    def ghosts(number: int, store: Consumer) -> list[Difference]:
        return [Difference(Kind.GHOST, store, f"{at}", None) for at in range(number)]

    users = {POSTGRES: 1000, DYNAMODB: 1000}
    assert deletions(ghosts(10, POSTGRES), users) == {}
    assert deletions(ghosts(11, POSTGRES) + ghosts(3, DYNAMODB), users) == {POSTGRES: 11}
    assert deletions([Difference(Kind.STALE, POSTGRES, "x", None)] * 500, users) == {}


BY_HAND: dict[str, Any] = {
    "profile": [{"S": "x"}, {"S": "[1]"}, {"L": [{"N": "1"}]}, {"SS": ["a"]}, None],
    "user_metadata": [{"S": "{"}, {"B": "YQ=="}, {"N": "1"}, None],
    "carried": [{"N": "1"}, {"S": "{"}],
    "omitted": [{"S": "profile"}],
    "synced_at": [{"S": "yesterday"}, {"N": "1"}],
    "deleted_at": [{"S": ""}],
}
HARMLESS = ("carried", "omitted", "synced_at")
"""Attributes that the comparison leaves out."""


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BY_HAND.items() for value in values])
def test_whatever_somebody_writes_into_an_item_is_found_and_repaired(both: World, name: str, value: Any) -> None:
    both.apply(version("1", user_metadata={"plan": "pro"}), version("2"))
    item = both.dynamodb.table["auth0|1"] | {name: value}
    both.dynamodb.table["auth0|1"] = {key: one for key, one in item.items() if one is not None}
    report = both.look()
    assert [one.user_id for one in report.drift] == ([] if name in HARMLESS else ["auth0|1"])
    done, left, _ = both.repair(report.drift, POSTGRES)
    assert (left, done.refused) == ([], {})
    done, left, messages = both.repair(report.drift, DYNAMODB)  # a second time
    assert (left, done.refused, messages) == ([], {}, {POSTGRES: 0, DYNAMODB: 0})


def test_an_item_without_a_version_is_found(both: World) -> None:
    """No sink replaces it: a condition on the version never holds."""
    both.apply(version("1"), version("2"))
    del both.dynamodb.table["auth0|1"]["version"]
    drift = both.look().drift
    assert [(one.user_id, one.kind, one.store) for one in drift] == [("auth0|1", Kind.STALE, DYNAMODB)]


@pytest.mark.parametrize("column", ["profile", "user_metadata", "carried"])
@pytest.mark.parametrize("value", ["1", "[]", '"x"', '{"keys": 1}', '{"keys": {"a": {"b": 1}}, "whole": 1}'])
def test_whatever_somebody_writes_into_a_row_is_found_and_repaired(both: World, column: str, value: str) -> None:
    both.apply(version("1", user_metadata={"plan": "pro"}), version("2"))
    both.sql(f"UPDATE auth0.user_rows SET {column} = %s::jsonb WHERE user_id = 'auth0|1'", value)
    report = both.look()
    assert [one.user_id for one in report.drift] == ([] if column == "carried" else ["auth0|1"])
    before = both.dynamodb.table["auth0|1"]["profile"]
    if column == "profile":  # a broken profile reaches no store
        done, left, _ = both.repair(report.drift, POSTGRES)
        assert ([one.kind for one in left], done.refused.total()) == ([Kind.DIFFERENT], 1)
        assert both.dynamodb.table["auth0|1"]["profile"] == before
    done, left, _ = both.repair(report.drift, DYNAMODB)
    assert (left, done.refused) == ([], {})
