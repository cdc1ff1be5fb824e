"""Both stores keep the keys that a change does not carry, in any order of arrival and with concurrent writers."""

import itertools
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline import errors
from pipeline.changes import Outcome
from pipeline.sinks import dynamodb
from pipeline.sinks.dynamodb import DynamoDBSink
from tests.sinks.stored import Items, Rows, Store, Table, users
from tests.strategies import Json, against_a_server, changes, created, deleted, records, streamed, text, updated, user

MOMENTS = [f"2026-01-15T09:00:0{second}.000Z" for second in range(10)]
CASES = Path(__file__).parents[1] / "cases"
KEYS = ("username", "blocked", "user_metadata", "app_metadata")


def part(at: int, **fields: Any) -> Json:
    """Return an event of an Event Stream with the keys that Auth0 promises, and ``fields``."""
    profile = {key: value for key, value in user("a|1", MOMENTS[at]).items() if key not in ("email", "name")}
    return streamed("user.updated", profile | fields, event_id=f"evt_{at}", time=MOMENTS[at])


def whole(at: int, **fields: Any) -> Json:
    return updated(user("a|1", MOMENTS[at], **fields), date=MOMENTS[at], log_id=f"log-{at}")


def gone(at: int) -> Json:
    return deleted("a|1", date=MOMENTS[at], log_id=f"log-{at}")


def stored(store: Store, *events: Json) -> Json | None:
    """Return the user after each of ``events`` in a batch of its own."""
    for event in events:
        assert store.sink.apply(changes(event)).failed == {}
    return users(store).get("a|1")


def test_absent_key_of_an_event_is_kept(store: Store) -> None:
    before = user("a|1", MOMENTS[1], username="ada", user_metadata={"plan": "pro"}, app_metadata={"roles": ["admin"]})
    found = stored(store, updated(before), part(2, email="new@acme.example"))
    assert found == before | {"updated_at": MOMENTS[2], "email": "new@acme.example"}


def test_whole_user_may_arrive_later(store: Store) -> None:
    found = stored(store, part(3, email="3@x.example"), part(2, email="2@x.example", blocked=True), whole(1))
    assert found == user("a|1", MOMENTS[3], email="3@x.example", blocked=True)
    assert stored(store, whole(4)) == user("a|1", MOMENTS[4])
    assert store.stored["a|1"].carried is None


def test_whole_user_has_no_carried_versions(store: Store) -> None:
    stored(store, whole(1), whole(2))
    assert store.stored["a|1"].carried is None


def test_deletion_in_between_clears_older_keys(store: Store) -> None:
    found = stored(store, part(3, email="3@x.example"), whole(1, username="old"), gone(2))
    assert found
    assert "username" not in found
    assert found["email"] == "3@x.example"
    assert stored(store, gone(4)) is None
    assert stored(store, part(3, username="late")) is None


def test_outcomes(store: Store) -> None:
    first, second = part(2, username="x"), part(1, username="y", blocked=True)
    assert store.sink.apply(changes(first)) == Outcome()
    assert store.sink.apply(changes(first)).duplicate == {"a|1"}
    assert store.sink.apply(changes(second)) == Outcome()
    assert store.sink.apply(changes(second)).duplicate == {"a|1"}
    assert store.sink.apply(changes(part(0, username="z"))).stale == {"a|1"}
    assert store.sink.apply(changes(whole(3))) == Outcome()
    assert store.sink.apply(changes(first, second)).stale == {"a|1"}


def test_whole_user_replaces_the_same_partial_change(store: Store) -> None:
    """A log may come again after an operator has switched the stream's masking off."""
    event = part(1, username="x")
    [change] = changes(event)
    store.sink.apply([change])
    fields = user("a|1", MOMENTS[1], name="Ada")
    again = streamed("user.updated", fields, event_id="evt_1", time=MOMENTS[1]) | {"source": "auth0-sync/refresh"}
    assert stored(store, again) == fields
    assert store.stored["a|1"].carried is None


# Any order


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, Json]]:
    """Return events about one user, each of another moment."""
    kinds = draw(st.lists(st.sampled_from(("whole", "partial", "partial", "gone")), min_size=1, max_size=5))
    events = []
    for at, kind in enumerate(kinds):
        carried = draw(st.sets(st.sampled_from(KEYS)))
        values = {"username": f"u{at}", "blocked": bool(at % 2), "user_metadata": {"n": at}, "app_metadata": {"m": at}}
        fields = {key: value for key, value in values.items() if key in carried}
        events.append((kind, {"whole": whole, "partial": part}[kind](at, **fields) if kind != "gone" else gone(at)))
    return events


def expected(events: list[tuple[str, Json]]) -> Json | None:
    known: Json | None = None
    for kind, event in events:
        if kind == "gone":
            known = None
        else:
            data = event["detail"]["data"]
            said: Json = data["object"] if kind == "partial" else data["details"]["response"]["body"]
            known = said if kind == "whole" else (known or {}) | said
    return known


@settings(against_a_server, max_examples=25)
@given(st.data())
def test_any_order_ends_in_the_newest_of_each_key(store: Store, data: st.DataObject) -> None:
    events = data.draw(histories())
    order = data.draw(st.permutations(events))
    again = data.draw(st.lists(st.sampled_from(events), max_size=2))
    cut = data.draw(st.integers(0, len(order)))
    store.empty()
    for batch in ([event for _, event in order[:cut]], [event for _, event in [*order[cut:], *again]]):
        assert store.sink.apply(changes(*batch)).failed == {}
    assert users(store).get("a|1") == expected(events)


# Others who write meanwhile


@pytest.mark.parametrize("events", list(itertools.permutations((part(1, blocked=True), part(2, username="x")))))
@pytest.mark.parametrize("before", [(), (whole(0),)])
def test_concurrent_write_is_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch, events: tuple[Json, ...], before: tuple[Json, ...]
) -> None:
    """The row is read, another writer changes it, and only then it is written."""
    stored(store, *before)
    pending = list(events[1:])

    def overtaken(write: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        while arguments[0] and pending:
            assert store.sink.apply(changes(pending.pop())).failed == {}
        return write(*arguments, **options)

    monkeypatch.setattr(store.sink, store.write, partial(overtaken, getattr(store.sink, store.write)))
    assert store.sink.apply(changes(events[0])).failed == {}
    assert pending == []
    found = users(store)["a|1"]
    assert (found["blocked"], found["username"], found["updated_at"]) == (True, "x", MOMENTS[2])


def test_change_that_loses_every_race_is_retried(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(store, whole(0))
    turns = iter(range(1, 1000))
    write = getattr(store.sink, store.write)

    def overtaken(*arguments: Any, **options: Any) -> Any:
        setattr(store.sink, store.write, write)
        at = f"2026-01-15T09:01:00.{next(turns):03}Z"
        assert store.sink.apply(changes(updated(user("a|1", at), date=at, log_id=at))).failed == {}
        setattr(store.sink, store.write, overtaken)
        return write(*arguments, **options)

    monkeypatch.setattr(store.sink, store.write, overtaken)
    event = streamed("user.updated", {"user_id": "a|1", "updated_at": "2026-02-01T00:00:00Z"})
    try:
        failed = store.sink.apply(changes(event)).failed
    except errors.StoreBusy:
        return
    assert isinstance(failed["a|1"], errors.StoreBusy)


# Cases of others


def case(name: str) -> Any:
    return json.loads((CASES / f"{name}.json").read_text())["events"]


@pytest.mark.parametrize(
    ("name", "user_id", "expected"),
    [
        (
            "partial-user-updated",
            "auth0|u3",
            {"email": "new@acme.example", "user_metadata": {"plan": "pro"}, "app_metadata": {"roles": ["admin"]}},
        ),
        (
            "masked-metadata",
            "auth0|u9",
            {
                "updated_at": "2026-11-25T16:00:01.000Z",
                "user_metadata": {"address": "1 Main St", "phone": "+15550100", "first_name": "Ada", "plan": "pro"},
            },
        ),
        ("numeric-actor", "auth0|u5", {"email": "u1@acme.example"}),
        ("create-path-slash", "auth0|u13", {"email": "u1@acme.example"}),
        ("id-nbsp", "samlp|idp|Ada\u00a0L", {"email": "u1@acme.example"}),
        ("email-verified-text", "apple|001", {"email_verified": "true"}),
    ],
)
def test_cases_are_stored(store: Store, name: str, user_id: str, expected: dict[str, Any]) -> None:
    for order in itertools.permutations(case(name)):
        store.empty()
        for event in order:
            assert store.sink.apply(changes(event)).failed == {}
        assert users(store)[user_id].items() >= expected.items()
        store.empty()
        store.sink.apply(changes(*order))
        assert users(store)[user_id].items() >= expected.items()


def test_a_verified_email_may_be_text(rows: Rows) -> None:
    said = {"true": True, "false": False, "TRUE": True, "yes": None, "": None, "1": None}
    profiles = [updated(user(f"a|{text}", email_verified=text)) for text in said]
    rows.sink.apply(changes(*profiles, *case("email-verified-text")))
    found = rows.connection.execute("SELECT user_id, email_verified FROM auth0.users").fetchall()
    assert dict(found) == {f"a|{text}": value for text, value in said.items()} | {"apple|001": True}


@pytest.mark.parametrize(("damaged", "change"), [("carried", whole(0)), ("carried", part(0)), ("profile", part(0))])
def test_user_changed_by_hand_fails_alone(store: Store, damaged: str, change: Json) -> None:
    stored(store, part(1))
    store.damage("a|1", damaged)
    other = updated(user("a|2", MOMENTS[1]))
    outcome = store.sink.apply(changes(change, other))
    assert {user_id: error.reason for user_id, error in outcome.failed.items()} == {"a|1": "Refused"}
    assert store.sink.apply(changes(other)).duplicate == {"a|2"}


# DynamoDB alone


def test_item_without_a_version_fails_and_is_not_taken_for_a_newer_one(sink: DynamoDBSink, table: Table) -> None:
    table.client.put_item(TableName=table.name, Item={"user_id": {"S": "a|1"}})
    outcome = sink.apply(changes(whole(1), updated(user("a|2", MOMENTS[1]))))
    assert {user_id: error.reason for user_id, error in outcome.failed.items()} == {"a|1": "Refused"}
    assert outcome.stale == set()


def test_omitted_part_stays_missing_until_the_whole_user_arrives(sink: DynamoDBSink, table: Table) -> None:
    large = user("a|1", MOMENTS[1], user_metadata={"plan": "gold"}, app_metadata={"notes": ["x" * 1000] * 500})
    store = Items(sink, table)
    sink.apply(changes(updated(large)))
    assert table.items["a|1"]["omitted"] == ["profile", "app_metadata"]
    sink.apply(changes(part(2, user_metadata={"plan": "free"})))
    item = table.items["a|1"]
    assert (item["omitted"], item["user_metadata"]) == (["profile", "app_metadata"], {"plan": "free"})
    sink.apply(changes(part(3, app_metadata={"notes": []})))
    item = table.items["a|1"]
    assert (item["omitted"], item["app_metadata"], item["user_metadata"]) == (
        ["profile"], {"notes": []}, {"plan": "free"},
    )  # fmt: skip
    assert stored(store, whole(4)) == user("a|1", MOMENTS[4])
    assert "omitted" not in table.items["a|1"]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=2), st.integers(0, 40))
@example("", 40)
@settings(max_examples=20, deadline=None)
def test_merged_item_equals_a_whole_one(key: str, depth: int) -> None:
    deep: Any = 1
    for _ in range(depth):
        deep = [deep]
    body = text(streamed("user.updated", user("a|1", **{key: {"x": deep}, "plan": 1.5})))
    [change] = changes(body)
    found = dynamodb._item_of(dynamodb._known(change), dynamodb._order(change), ())
    found.pop("carried")
    assert found == dynamodb.item(change)
    assert dynamodb._stored(found).profile.keys() >= json_keys(body)


def json_keys(body: str) -> Any:
    return json.loads(body)["detail"]["data"]["object"].keys()


def test_created_and_updated_in_one_batch(store: Store) -> None:
    fields = {"user_metadata": {"plan": "pro"}}
    events = [created(user("a|1", MOMENTS[0], **fields)), part(1, email="x@y.example"), part(2, blocked=True)]
    batch = changes(*events)
    assert len(batch) == 1
    store.sink.apply(batch)
    assert users(store)["a|1"] == user("a|1", MOMENTS[2], email="x@y.example", blocked=True, **fields)
    assert len(records(*events)) == 3
