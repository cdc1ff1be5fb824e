"""The chaos test's comparison finds what is lost, wrong or doubled."""

import copy
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from devstack.traffic import ExpectedState
from tests.chaos import compare
from tests.chaos.load import traffic

Stored = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def expected() -> ExpectedState:
    state = ExpectedState()
    for event in traffic(400, seed=1, day=0):
        state.observe(event)
    assert state.live
    assert state.deleted
    return state


def rows(expected: ExpectedState) -> Stored:
    """The rows of a Postgres that has everything."""
    live = {
        user_id: {
            "deleted_at": None,
            "profile": user,
            "user_metadata": user.get("user_metadata", {}),
            "app_metadata": user.get("app_metadata", {}),
            "email": user.get("email"),
            "updated_at": datetime.fromisoformat(user["updated_at"]),
            "version": "1",
        }
        for user_id, user in expected.live.items()
    }
    empty: dict[str, Any] = {"profile": {}, "user_metadata": {}, "app_metadata": {}, "email": None, "version": "1"}
    return copy.deepcopy(live | {key: empty | {"deleted_at": at} for key, at in expected.deleted.items()})


def items(expected: ExpectedState) -> Stored:
    """The items of a DynamoDB that has everything."""
    metadata = ("user_metadata", "app_metadata")
    live = {
        user_id: {"profile": {name: value for name, value in user.items() if name not in metadata}, "version": "1"}
        | {name: user.get(name, {}) for name in metadata}
        for user_id, user in expected.live.items()
    }
    deleted = {key: {"deleted_at": at.isoformat(), "version": "1"} for key, at in expected.deleted.items()}
    return copy.deepcopy(live | deleted)


def test_equal_stores_have_no_differences(expected: ExpectedState) -> None:
    assert list(compare.postgres(expected, rows(expected), {})) == []
    assert list(compare.dynamodb(expected, items(expected), {})) == []
    assert list(compare.versions(rows(expected), items(expected), expected.live)) == []


def lose(stored: Stored, _live: str, deleted: str) -> None:
    del stored[deleted]


def lose_live(stored: Stored, live: str, _deleted: str) -> None:
    del stored[live]


def alter(stored: Stored, live: str, _deleted: str) -> None:
    stored[live]["profile"]["nickname"] = "another"


def resurrect(stored: Stored, live: str, deleted: str) -> None:
    stored[deleted] = stored[live]


def keep_the_profile(stored: Stored, live: str, deleted: str) -> None:
    stored[deleted]["profile"] = stored[live]["profile"]


def delete(stored: Stored, live: str, deleted: str) -> None:
    stored[live] = stored[deleted]


def invent(stored: Stored, live: str, _deleted: str) -> None:
    stored["auth0|nobody"] = stored[live]


@pytest.mark.parametrize("harm", [lose, lose_live, alter, resurrect, keep_the_profile, delete, invent])
def test_each_harm_is_found(expected: ExpectedState, harm: Callable[[Stored, str, str], None]) -> None:
    live, deleted = min(expected.live), min(expected.deleted)
    for make, differences in ((rows, compare.postgres), (items, compare.dynamodb)):
        stored = make(expected)
        harm(stored, live, deleted)
        assert len(list(differences(expected, stored, {}))) == 1


@pytest.mark.parametrize(("after", "differences"), [({"version": "1"}, 0), ({"version": "2"}, 1), (None, 1)])
def test_users_from_before_are_as_they_were(expected: ExpectedState, after: Any, differences: int) -> None:
    before = {"auth0|before": {"version": "1"}}
    stored = rows(expected) | ({"auth0|before": after} if after else {})
    assert len(list(compare.postgres(expected, stored, before))) == differences


def test_stores_of_different_versions_are_found(expected: ExpectedState) -> None:
    stored = items(expected)
    stored[min(expected.live)]["version"] = "2"
    assert len(list(compare.versions(rows(expected), stored, expected.live))) == 1


@pytest.mark.parametrize(
    ("archived", "differences"),
    [(["a", "b"], 0), (["a"], 1), (["a", "b", "b"], 1), ([], 2)],
)
def test_the_archive_has_each_event_once(archived: list[str], differences: int) -> None:
    details = {"a": {"x": 1}, "b": {"x": 2}}
    found = [{"id": event_id, "detail": details[event_id]} for event_id in archived]
    assert len(list(compare.archive(details, found))) == differences
    assert len(list(compare.archive(details, [{"id": "a", "detail": {}}, {"id": "b", "detail": {"x": 2}}]))) == 1


@pytest.mark.parametrize(
    ("found", "differences"), [(["bad"], 0), ([], 1), (["bad", "bad"], 1), (["bad", "good"], 1), (["good"], 2)]
)
def test_only_unreadable_logs_are_in_a_dead_letter_queue(found: list[str], differences: int) -> None:
    assert len(list(compare.dead_letters("q", {"bad"}, found))) == differences
