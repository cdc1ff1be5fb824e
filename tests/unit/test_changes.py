import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pipeline import errors
from pipeline.changes import (
    MASKED,
    MAX_USER_ID_BYTES,
    PERSONAL,
    WRONG_CLOCK,
    Carried,
    Export,
    Ignored,
    Partial,
    Signal,
    Snapshot,
    Tombstone,
    exported,
    instant,
    interpret,
    known,
    merge,
    read,
    version,
)
from tests.bad_input import GOOD_ENOUGH, POISON, WRONG_SHAPE
from tests.strategies import (
    ABSENT,
    DATE,
    LOG_ID,
    UPDATED_AT,
    Json,
    call,
    created,
    deleted,
    log,
    path_of,
    snapshot,
    streamed,
    text,
    updated,
    user,
)


def as_auth0_writes(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")[:23] + "Z"


def meaning(event: Json) -> Any:
    """Return the one thing that an event means."""
    [found] = read(text(event))
    return found


# Whose change


def test_an_update_is_the_user_in_the_answer() -> None:
    profile = user("auth0|ada", user_metadata={"plan": "gold"})
    change = meaning(updated(profile, request={"user_metadata": {"plan": "other", "gone": None}}))
    assert isinstance(change, Snapshot)
    assert (change.user_id, change.event_id, change.source) == ("auth0|ada", LOG_ID, "auth0.logs")
    assert change.updated_at == "2023-07-11T16:30:53.231000Z"
    assert bytes(change.profile).decode() == text(profile)


def test_a_creation_is_the_user_in_the_answer() -> None:
    assert meaning(created(user("auth0|ada"))).user_id == "auth0|ada"


def test_put_is_an_update_in_whatever_case() -> None:
    assert meaning(call("PUT", path_of("auth0|ada"), user())).user_id == "auth0|ada"
    assert meaning(call("PATCH", path_of("auth0|ada") + "/", user())).user_id == "auth0|ada"


def test_a_deletion_is_the_user_in_the_path() -> None:
    change = meaning(deleted("auth0|ada"))
    assert isinstance(change, Tombstone)
    assert (change.user_id, change.event_id) == ("auth0|ada", LOG_ID)
    assert change.deleted_at == change.updated_at == "2023-07-11T16:30:53.250000Z"


def test_a_deletion_answered_by_a_body_is_still_the_user_in_the_path() -> None:
    assert meaning(call("delete", path_of("auth0|ada"), user("auth0|other"), status=200)).user_id == "auth0|ada"


def test_the_body_wins_over_the_path() -> None:
    assert meaning(updated(user("auth0|body"), path=path_of("auth0|path"))).user_id == "auth0|body"


@pytest.mark.parametrize(
    ("segment", "user_id"),
    [
        ("auth0%7C1", "auth0|1"),
        ("auth0%7c1", "auth0|1"),
        ("auth0|1", "auth0|1"),
        ("auth0%257C1", "auth0%7C1"),
        ("samlp|conn|a@b", "samlp|conn|a@b"),
        ("samlp%7Cconn%7Ca%40b.example", "samlp|conn|a@b.example"),
        ("oidc%7Cconn%7Ca%2Fb", "oidc|conn|a/b"),
        ("oidc%7Cconn%7Ca%252Fb", "oidc|conn|a%2Fb"),
        ("auth0%7Ca+b%20c", "auth0|a+b c"),
        ("ad%7C%C3%A9", "ad|é"),
        ("ad|é", "ad|é"),
        ("%E2%82%AC%7C100%25", "€|100%"),
    ],
)
@pytest.mark.parametrize("tail", ["", "/", "?client_id=x/y"])
def test_the_path_is_decoded_exactly_once(segment: str, user_id: str, tail: str) -> None:
    assert meaning(call("delete", f"/api/v2/users/{segment}{tail}", {}, status=204)).user_id == user_id


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30))
@example("a%2Fb")
@example("../x?y#z")
def test_any_id_survives_the_path(user_id: str) -> None:
    assume("\ufffd" not in user_id)
    assert meaning(deleted(user_id)).user_id == user_id


@pytest.mark.parametrize("description", ["Delete a User", "Update a User", "", "Benutzer löschen", 'x"y'])
def test_description_is_ignored(description: str) -> None:
    assert isinstance(meaning(updated(user(), description=description)), Snapshot)
    assert isinstance(meaning(deleted("a|1", description=description)), Tombstone)
    other = call("post", "/api/v2/clients", {"user_id": "x"}, description=description)
    assert isinstance(meaning(other), Ignored)


# What changes no profile


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/api/v2/users/a%7C1"),
        ("post", "/api/v2/users/a%7C1"),
        ("get", "/api/v2/users"),
        ("delete", "/api/v2/users"),
        ("patch", "/api/v2/users/"),
        ("post", "/api/v2/users/a%7C1/roles"),
        ("delete", "/api/v2/users/a%7C1/roles"),
        ("post", "/api/v2/users/a%7C1/recovery-code-regeneration"),
        ("patch", "/api/v2/clients/a"),
        ("patch", "/api/v2/organizations/o/members"),
        ("patch", "/v2/users/a"),
        ("patch", "/x/api/v2/users/a"),
        ("patch", "/api/v2/users-by-email/a"),
        ("", ""),
    ],
)
def test_other_calls_are_ignored(method: str, path: str) -> None:
    assert meaning(call(method, path, user())) == Ignored("api call that changes no profile")


@pytest.mark.parametrize("path", ["/api/v2/connections/con_1/users?email=a%40b.example", "/api/v2/connections/con_1"])
def test_deletions_without_a_user_are_counted_separately(path: str) -> None:
    assert meaning(call("delete", path, {})) == Ignored("deletes users of a connection, and names none")
    assert meaning(call("get", path, {})) == Ignored("api call that changes no profile")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 304, 0])
def test_failed_calls_are_ignored(status: int) -> None:
    for event in (updated(user(), status=status), created(user()), deleted("a|1")):
        event["detail"]["data"]["details"]["response"]["statusCode"] = status
        assert meaning(event) == Ignored("api call that failed")


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"details": {}},
        {"details": []},
        {"details": ["x", {"y": 1}]},
        {"details": "text"},
        {"details": None},
        {"details": 5.5},
        {"details": {"request": "GET /x", "response": ["y"]}},
        {"details": {"request": {"method": 5, "path": {}}, "response": {"statusCode": "200"}}},
        {"date": 5, "user_id": 7, "description": []},
        {"user_id": None, "log_id": 5},
        {"object": [], "details": True},
    ],
)
@pytest.mark.parametrize("kind", ["fp", "seacft", "limit_wc", "a type of next year"])
def test_other_log_types_are_ignored_whatever_their_shape(kind: str, data: dict[str, Any]) -> None:
    assert meaning(log(kind, **data)) == Ignored(f"type {kind}")


def test_the_published_wrong_shape_is_refused() -> None:
    with pytest.raises(errors.UnknownShape):
        read(text(WRONG_SHAPE))


@pytest.mark.parametrize("name", POISON)
def test_poison(name: str) -> None:
    body, reason = POISON[name]
    with pytest.raises(errors.Poison) as raised:
        read(body)
    assert raised.value.reason == reason


@pytest.mark.parametrize("name", GOOD_ENOUGH)
def test_unusual_message_is_accepted(name: str) -> None:
    expected = GOOD_ENOUGH[name]
    change = snapshot(expected.body)
    assert change.user_id == expected.user_id
    assert (json.loads(bytes(change.profile).decode()).get("user_metadata") or {}) == expected.metadata


@pytest.mark.parametrize("depth", range(100, 1100, 7))
def test_a_message_of_any_depth_is_read(depth: int) -> None:
    body = text(updated(user(x="@@"))).replace('"@@"', "[" * depth + "]" * depth)
    assert snapshot(body).user_id == "auth0|ada"


@pytest.mark.parametrize("answer", [ABSENT, None, {}, [], "", 0, "ok", [user()], {"user_id": "auth0|ada"}])
def test_answer_without_a_user_becomes_a_signal(answer: Any) -> None:
    assert meaning(call("patch", path_of("auth0|ada"), answer)) == Signal("auth0|ada", "sapi")


@pytest.mark.parametrize(("size", "fits"), [(MAX_USER_ID_BYTES, True), (MAX_USER_ID_BYTES + 2, False)])
@pytest.mark.parametrize("letter", ["a", "é"])
def test_the_longest_user_id(size: int, letter: str, fits: bool) -> None:
    event = deleted(letter * (size // len(letter.encode())))
    if fits:
        assert len(meaning(event).user_id.encode()) == size
    else:
        with pytest.raises(errors.NoUserId):
            meaning(event)


# Events that name a user without carrying it


@pytest.mark.parametrize("kind", ["s", "ss", "sce", "scp", "sv", "sscim", "gd_unenroll"])
def test_a_signal_names_its_user(kind: str) -> None:
    assert meaning(log(kind, user_id="auth0|ada", details=["odd"])) == Signal("auth0|ada", kind)


@pytest.mark.parametrize("user_id", ["", None, ABSENT])
def test_a_signal_without_a_user_is_ignored(user_id: Any) -> None:
    assert isinstance(meaning(log("s", user_id=user_id)), Ignored)


@pytest.mark.parametrize(("named", "user_id"), [("5f7c", "auth0|5f7c"), ("samlp|c|a@b", "samlp|c|a@b")])
def test_the_notice_of_a_deletion_names_the_user_in_its_description(named: str, user_id: str) -> None:
    assert meaning(log("sdu", user_id="", description=f"user_id: {named}")) == Signal(user_id, "sdu")


# Linked accounts


def test_linking_deletes_the_other_identities() -> None:
    identities = [{"provider": "auth0", "user_id": "1"}, {"provider": "google-oauth2", "user_id": 22}]
    signal, end = read(text(call("post", "/api/v2/users/auth0%7C1/identities", identities, status=201)))
    assert signal == Signal("auth0|1", "linked")
    assert isinstance(end, Tombstone)
    assert (end.user_id, end.deleted_at) == ("google-oauth2|22", "2023-07-11T16:30:53.250000Z")


@pytest.mark.parametrize(("identity", "other"), [("conn%7Ca%252F", "conn|a%2F"), ("conn|a/b", "conn|a/b")])
def test_unlinking_signals_both_users(identity: str, other: str) -> None:
    path = f"/api/v2/users/auth0%7C1/identities/samlp/{identity}"
    remaining = [{"provider": "auth0", "user_id": "1"}, {"provider": "google-oauth2", "user_id": "22"}]
    assert set(read(text(call("delete", path, remaining)))) == {
        Signal("auth0|1", "unlinked"),
        Signal(f"samlp|{other}", "unlinked"),
    }


# Event Streams


@pytest.mark.parametrize("kind", ["user.created", "user.updated"])
def test_a_streamed_user_is_a_snapshot(kind: str) -> None:
    profile = user("auth0|ada", user_metadata={"plan": "gold"})
    change = meaning(streamed(kind, profile))
    assert isinstance(change, Snapshot)
    assert (change.user_id, change.event_id, change.source) == ("auth0|ada", "evt_1", "auth0.events")
    assert bytes(change.profile).decode() == text(profile)


def test_a_streamed_deletion_is_a_tombstone() -> None:
    gone = {"user_id": "auth0|ada", "deleted_at": "2025-01-29T11:33:53.542Z"}
    change = meaning(streamed("user.deleted", gone, time="2025-01-29T11:33:54.000Z"))
    assert isinstance(change, Tombstone)
    assert (change.user_id, change.deleted_at) == ("auth0|ada", "2025-01-29T11:33:53.542000Z")


def test_a_streamed_deletion_without_a_time_of_its_own_has_the_events() -> None:
    assert meaning(streamed("user.deleted", {"user_id": "a|1"})).deleted_at == "2023-07-11T16:30:53.250000Z"


def test_both_feeds_agree_on_the_order() -> None:
    older, newer = user(updated_at="2023-07-11T16:30:53.231Z"), user(updated_at="2023-07-11T16:30:53.24Z")
    assert meaning(updated(older)).version < meaning(streamed("user.updated", newer)).version
    assert meaning(streamed("user.updated", older)).version < meaning(updated(newer)).version


def test_events_that_test_a_stream_are_not_written() -> None:
    assert meaning(streamed("user.created", user(), a0purpose="test")) == Ignored("test event")


@pytest.mark.parametrize("kind", ["group.created", "organization.member.added", "next.year"])
def test_other_streamed_events_are_ignored(kind: str) -> None:
    assert meaning(streamed(kind, {"id": 5})) == Ignored(f"type {kind}")


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (streamed("user.updated"), errors.UnknownShape),
        (streamed("user.updated", user("")), errors.NoUserId),
        (streamed("user.updated", user(updated_at="soon")), errors.BadTimestamp),
        (streamed("user.updated", user(updated_at=5)), errors.UnknownShape),
        (streamed("user.updated", []), errors.NoUserId),
        (streamed("user.deleted", {}), errors.NoUserId),
        (streamed("user.deleted", {"user_id": "a|1"}, time=None), errors.BadTimestamp),
        (streamed("user.updated", user(), type=None) | {"detail-type": None}, errors.UnknownShape),
    ],
)
def test_streamed_poison(event: dict[str, Any], reason: type[errors.Poison]) -> None:
    with pytest.raises(errors.Poison) as raised:
        meaning(event)
    assert type(raised.value) is reason


# Masked profiles: only a Log Stream masks, and what it masks is not carried

MASKS = (
    "*",
    "***",
    "*********",
    "**** ****",
    "+****",
    "5f4dcc3b",
    "5f4dcc3b5aa765d6",
    "5f4dcc3b5aa765d61d8327deb882cf99",
)
VALUES = ("", "Ada", "ada@acme.example", "+4930123", "12345678", "deadbeef", "1 * 2", "5f4dcc3b5a")
PLACES: dict[str, Callable[[str, Any], Json]] = {
    "at the root": lambda field, value: {field: value},
    "in user_metadata": lambda field, value: {"user_metadata": {"plan": "pro", "deep": [{field: value}]}},
    "in identities": lambda field, value: {"identities": [{"provider": "auth0", "profileData": {field: value}}]},
    "in an address": lambda field, value: {"user_metadata": {"address": {"lines": [value], "of": field}}},
}
FEEDS = ("auth0.logs", "auth0.events", "auth0-sync/refresh")


def said(feed: str, profile: Json) -> tuple[Snapshot, Json, list[str]]:
    """Return the change that an event carries, its known keys, and the signals beside it."""
    event = updated(profile) if feed == "auth0.logs" else streamed("user.updated", profile)
    if feed == "auth0-sync/refresh":
        event |= {"source": feed}
    change, *signals = read(text(event))
    assert isinstance(change, Snapshot)
    found = known(change)
    return change, {key: json.loads(bytes(value)) for key, value in found.profile.items()}, [*map(str, signals)]


@given(st.sampled_from(FEEDS), st.sampled_from(sorted(PERSONAL)), st.sampled_from(sorted(PLACES)), st.data())
def test_masked_top_level_key_is_left_out_and_the_others_are_kept(
    feed: str, field: str, place: str, data: st.DataObject
) -> None:
    value = data.draw(st.sampled_from(MASKS + VALUES))
    if place == "in an address" and value in MASKS and "*" not in value:
        return  # a hash replaces the field itself
    fields = PLACES[place](field, value)
    profile = user(blocked=True, app_metadata={"roles": ["admin"]}, **{"user_metadata": {}, **fields})
    change, found, signals = said(feed, profile)
    masked = feed == "auth0.logs" and (
        value in MASKS or (place == "at the root" and field == "email" and value and "@" not in value)
    )
    [key] = fields
    assert found == {name: item for name, item in profile.items() if not (masked and name == key)}
    assert (found["blocked"], found["app_metadata"]) == (True, {"roles": ["admin"]})
    assert signals == ([str(Signal("auth0|ada", MASKED))] if masked else [])
    if feed == "auth0.logs":
        user_known = known(change)
        assert user_known.since().get(key, user_known.whole) == ("" if masked else change.version)
        assert user_known.whole == change.version
    else:
        assert bytes(change.profile).decode() == text(profile)


@pytest.mark.parametrize("value", MASKS)
def test_app_metadata_loses_only_masked_fields(value: str) -> None:
    profile = user(app_metadata={"roles": ["x"], "size": 1.50, "contact": {"name": value, "id": 7}, "names": [value]})
    change, found, signals = said("auth0.logs", profile)
    assert found == profile | {"app_metadata": {"roles": ["x"], "size": 1.50, "contact": {"id": 7}, "names": [value]}}
    assert b'"size":1.5' in bytes(change.profile)
    assert change.carried is None
    assert signals == [str(Signal("auth0|ada", MASKED))]


@pytest.mark.parametrize("value", ["12345678", "deadbeef", "1234567890123456"])
def test_hash_of_only_letters_or_digits_counts_as_masked_beside_another(value: str) -> None:
    fields: Json = {"name": value, "user_metadata": {"phone": value, "code": value}}
    assert "name" not in said("auth0.logs", user(email="5f4dcc3b", **fields))[1]
    assert "user_metadata" not in said("auth0.logs", user(email="5f4dcc3b", **fields))[1]
    assert said("auth0.logs", user(**fields))[1] == user(**fields)


@pytest.mark.parametrize(
    "plain",
    [
        {"nickname": "ada10038"},
        {"email": "ada10038@acme.example"},
        {"user_id": "auth0|ada10038"},
        {"email": "Ada10038@acme.example", "nickname": "ada10038"},
    ],
)
def test_name_of_hexadecimal_digits_is_no_hash_if_a_field_that_is_not_masked_has_it(plain: Json) -> None:
    """Auth0 makes the nickname of a new user of the user name, or of the e-mail address."""
    profile = user(username="ada10038", user_metadata={"name": "ada10038"}, **plain)
    assert said("auth0.logs", profile)[1:] == (profile, [])


@pytest.mark.parametrize("plain", [{}, {"nickname": "ada"}, {"email": "ada10038"}, {"nickname": "", "email": ""}])
def test_name_of_hexadecimal_digits_is_a_hash_otherwise(plain: Json) -> None:
    _, found, signals = said("auth0.logs", user(username="ada10038", **plain))
    assert "username" not in found
    assert signals == [str(Signal("auth0|ada", MASKED))]


def test_deletion_ignores_masked_values() -> None:
    assert isinstance(meaning(deleted("auth0|***")), Tombstone)


@pytest.mark.parametrize("number", ["1e400", "9" * 5000])
def test_number_outside_of_pythons_range_does_not_remove_metadata(number: str) -> None:
    body = text(updated(user(email="***", app_metadata={"n": "@@", "name": "***"}, user_metadata={"n": "@@"})))
    change, signal = read(body.replace('"@@"', number))
    assert signal == Signal("auth0|ada", MASKED)
    assert isinstance(change, Snapshot)
    assert known(change).profile.keys() >= {"app_metadata", "user_metadata"}
    assert "email" not in known(change).profile


# What no change needs cannot fail it

ODD_VALUES: tuple[Any, ...] = (12345, 1.5, True, [], ["x"], {}, {"a": {"b": 1}}, 0)


@pytest.mark.parametrize("value", ODD_VALUES)
@pytest.mark.parametrize("field", ["user_id", "description", "date", "log_id", "client_id", "ip", "user_agent"])
def test_odd_unused_field_of_a_log_does_not_fail_its_change(field: str, value: Any) -> None:
    for event in (updated(user("a|1")), deleted("a|1"), log("sv", user_id="a|1")):
        event["detail"]["data"][field] = value
        if field == "user_id" and event["detail"]["data"]["type"] == "sv":
            continue  # which names the user
        meanings, notes = interpret(text(event))
        [found] = meanings
        assert not isinstance(found, Ignored)
        assert found.user_id == "a|1"
        assert notes == ((f"odd {field}",) if field in ("user_id", "description", "date", "log_id") else ())


@pytest.mark.parametrize("value", ODD_VALUES)
@pytest.mark.parametrize("field", ["id", "time", "a0purpose", "log_id"])
def test_odd_unused_field_of_a_streamed_event_does_not_fail_its_change(field: str, value: Any) -> None:
    event = streamed("user.updated", user("a|1"))
    event["detail"][field] = value
    meanings, notes = interpret(text(event))
    assert isinstance(meanings[0], Snapshot)
    assert meanings[0].user_id == "a|1"
    assert notes == (f"odd {field}",)


def test_odd_id_and_date_are_replaced_by_eventbridges() -> None:
    event = updated(user("a|1"))
    event["detail"]["log_id"] = event["detail"]["data"]["log_id"] = 5
    assert meaning(event).event_id == event["id"]
    gone = deleted("a|1")
    gone["detail"]["data"]["date"] = 1689093053250
    assert meaning(gone).deleted_at == "2023-07-11T16:30:54.000000Z"  # EventBridge's
    assert interpret(text(gone | {"id": 5}))[1] == ("odd date", "odd id")


@pytest.mark.parametrize("odd", [5, True, {}, ["a"], "x"])
def test_odd_unused_field_does_not_fail_a_deletion(odd: Any) -> None:
    for fields in ({"updated_at": odd}, {"deleted_at": odd}):
        gone = meaning(streamed("user.deleted", {"user_id": "a|1"} | fields))
        assert (gone.user_id, gone.deleted_at) == ("a|1", "2023-07-11T16:30:53.250000Z")
    if odd != "x":
        gone = meaning(streamed("user.deleted", {"user_id": "a|1"}, time=odd))
        assert gone.deleted_at == "2023-07-11T16:30:54.000000Z"  # EventBridge's
    request = {"method": "DELETE", "path": "/scim/v2/connections/con_1/Users/a%7C1"}
    gone = meaning(log("sscim", details={"request": request, "response": {"statusCode": odd}}))
    assert isinstance(gone, Tombstone)


def test_odd_deleted_at_does_not_fail_an_update() -> None:
    assert meaning(streamed("user.updated", user("a|1") | {"deleted_at": 5})).user_id == "a|1"


@pytest.mark.parametrize("opening", ["[", '{"name":'])
@pytest.mark.parametrize("key", ["user_metadata", "app_metadata"])
def test_masked_values_nested_too_deeply_do_not_fail_the_change(opening: str, key: str) -> None:
    deep = opening * 900 + '"***"' + {"[": "]"}.get(opening, "}") * 900
    change = read(text(updated(user(blocked=True, **{key: "@@"}))).replace('"@@"', deep))[0]
    assert isinstance(change, Snapshot)
    assert (key in json.loads(bytes(change.profile))) == (key == "app_metadata")
    assert b'"blocked":true' in bytes(change.profile)


# A clock that is wrong

NOW = datetime.now(UTC)


def in_hours(hours: float) -> str:
    return as_auth0_writes(NOW + timedelta(hours=hours))


@pytest.mark.parametrize("hours", [25, 24 * 365, 24 * 365 * 5000])
def test_change_dated_ahead_is_ordered_by_its_events_time(hours: int) -> None:
    date = in_hours(-1)
    profile = user(updated_at=in_hours(hours))
    for event in (updated(profile, date=date), streamed("user.updated", profile, time=date)):
        meanings, notes = interpret(text(event))
        [change] = meanings
        assert isinstance(change, Snapshot)
        assert notes == (WRONG_CLOCK,)
        assert change.updated_at == instant(in_hours(hours))  # as Auth0 says
        assert change.version.startswith(instant(date))
        assert change.version < meaning(updated(user(updated_at=in_hours(0)))).version
    gone = meaning(streamed("user.deleted", {"user_id": "a|1", "deleted_at": in_hours(hours)}, time=date))
    assert gone.deleted_at == instant(in_hours(hours))
    assert gone.version.startswith(f"{instant(date)}.2.")


def test_masked_change_dated_ahead_carries_its_own_version() -> None:
    change, _ = read(text(updated(user(updated_at=in_hours(100), name="***"), date=in_hours(-1))))
    assert isinstance(change, Snapshot)
    assert change.carried == Carried(change.version, {"": ("name",)})


@pytest.mark.parametrize("hours", [-1, 0, 23])
def test_change_within_the_clock_tolerance_keeps_its_time(hours: int) -> None:
    meanings, notes = interpret(text(updated(user(updated_at=in_hours(hours)))))
    assert notes == ()
    assert isinstance(meanings[0], Snapshot)
    assert meanings[0].updated_at == instant(in_hours(hours))


def test_the_tolerance_can_be_set() -> None:
    event = text(updated(user(updated_at=in_hours(2)), date=in_hours(-1)))
    assert interpret(event, timedelta(hours=1))[1] == (WRONG_CLOCK,)
    assert interpret(event, timedelta(hours=3))[1] == ()


@pytest.mark.parametrize("date", [in_hours(100), "soon", ABSENT], ids=["ahead", "unreadable", "absent"])
def test_event_without_a_time_has_eventbridges(date: Any) -> None:
    change = meaning(updated(user(updated_at=in_hours(100)), date=date))
    assert change.version.startswith("2023-07-11T16:30:54.000000Z")
    event = updated(user(updated_at=in_hours(100)), date=date) | {"time": "?"}
    assert in_hours(-1) < meaning(event).version < in_hours(1)


def test_a_deletion_dated_ahead_beats_every_update_of_eventbridges_second() -> None:
    gone = meaning(deleted("a|1", date=in_hours(100)) | {"time": "2026-11-25T16:30:53Z"})
    update = meaning(updated(user("a|1", "2026-11-25T16:30:53.999Z"), date="2026-11-25T16:30:53.999Z"))
    later = meaning(updated(user("a|1", "2026-11-25T16:30:54.000Z"), date="2026-11-25T16:30:54.000Z"))
    assert update.version < gone.version < later.version


@pytest.mark.parametrize("ms", ["000", "001", "999"])
def test_a_deletion_in_whole_seconds_beats_every_update_of_that_second(ms: str) -> None:
    update = meaning(updated(user("a|1", f"2023-07-11T16:30:53.{ms}Z"), date="2023-07-11T16:30:55.000Z"))
    for event in (
        deleted("a|1", date="2023-07-11T16:30:53Z"),
        streamed("user.deleted", {"user_id": "a|1", "deleted_at": "2023-07-11T16:30:53Z"}),
        streamed("user.deleted", {"user_id": "a|1"}, time="2023-07-11T16:30:53Z"),
    ):
        gone = meaning(event)
        assert update.version < gone.version
        assert gone.deleted_at == "2023-07-11T16:30:53.000000Z"
        assert gone.version < meaning(updated(user("a|1", "2023-07-11T16:30:54.000Z"))).version


# Ids and the order


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30))
@example("samlp|idp|Ada\u00a0L")
@example("ad|\u3000\u200d\u00ad\u2028\ue000\U000e0041")
def test_id_that_both_stores_can_hold_is_valid(user_id: str) -> None:
    assume("\ufffd" not in user_id)
    assert meaning(updated(user(user_id))).user_id == meaning(deleted(user_id)).user_id == user_id


@pytest.mark.parametrize("character", ["\0", "\n", "\x1f", "\x7f", "\x85", "\x9f", "\ud800"])
def test_id_that_is_unstorable_or_invisible_is_refused(character: str) -> None:
    user_id = f"auth0|{character}"
    for event in (updated(user(user_id), path="/api/v2/users/x"), streamed("user.deleted", {"user_id": user_id})):
        with pytest.raises(errors.NoUserId):
            read(json.dumps(event))


def test_empty_log_id_is_ignored() -> None:
    event = updated(user(), log_id="")
    assert meaning(event).event_id == event["id"]
    event["detail"]["log_id"] = "outer"
    assert meaning(event).event_id == "outer"
    event["detail"]["data"]["log_id"] = "inner"
    assert meaning(event).event_id == "inner"


moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29))  # noqa: DTZ001 - the zone is drawn apart
offsets = st.one_of(
    st.none(),
    st.just(UTC),
    st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)).map(timezone),
)


FORMS = [
    as_auth0_writes,
    lambda at: at.isoformat(),
    lambda at: at.isoformat(" "),
    lambda at: at.isoformat(timespec="seconds"),
    lambda at: at.isoformat(timespec="milliseconds"),
    lambda at: at.isoformat(timespec="microseconds"),
    lambda at: at.isoformat(timespec="minutes"),
    lambda at: at.date().isoformat(),
    lambda at: "{}-W{:02}-{}".format(*at.isocalendar()) if at.isocalendar()[0] > 999 else at.isoformat(),
    lambda at: at.isoformat(timespec="microseconds").replace("-", "").replace(":", "") if not at.tzinfo else "20230711",
    lambda at: at.replace(tzinfo=None).isoformat(timespec="microseconds") + "123Z",
    lambda at: at.replace(tzinfo=None).isoformat(timespec="milliseconds")[:-1] + "Z",
    lambda at: at.replace(tzinfo=None).isoformat(timespec="milliseconds").replace(".", ",") + "z".upper(),
]
forms = st.sampled_from(FORMS)
written = st.builds(lambda at, offset, form: form(at.replace(tzinfo=offset)), moments, offsets, forms)


def as_python_reads(string: str) -> datetime:
    moment = datetime.fromisoformat(string)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@given(written)
@example("2023-07-11T16:30:53.231Z")
@example("2025-06-27T02:05:15.96Z")
@example("2023-07-11T16:30:53Z")
def test_instant_equals_pythons_datetime(string: str) -> None:
    found = instant(string)
    assert len(found) == 27
    assert found.isascii()
    assert found.endswith("Z")
    assert datetime.fromisoformat(found) == as_python_reads(string)


@given(written, written)
def test_instants_sort_as_time_does(one: str, other: str) -> None:
    assert (instant(one) < instant(other)) == (as_python_reads(one) < as_python_reads(other))
    assert (instant(one) == instant(other)) == (as_python_reads(one) == as_python_reads(other))


@pytest.mark.parametrize(
    "string",
    [
        "",
        "now",
        "not-a-date",
        "2023",
        "2023-13-01",
        "2023-02-29T00:00:00.000Z",
        "2023-07-11T25:00:00.000Z",
        "2023-07-11T16:60:00.000Z",
        "0000-01-01T00:00:00.000Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "10000-01-01T00:00:00.000Z",
        "\uff12\uff10\uff12\uff13-07-11T16:30:53.231Z",
        " 2023-07-11T16:30:53.231Z",
        "2023-07-11T16:30:53.231Z\n",
        "\ud800",
        "1689093053",
        "Tue, 11 Jul 2023 16:30:53 GMT",
    ],
)
def test_invalid_time_is_refused(string: str) -> None:
    with pytest.raises(errors.BadTimestamp):
        instant(string)


@given(st.text())
def test_any_text_is_a_time_or_refused(string: str) -> None:
    with suppress(errors.BadTimestamp):
        assert len(instant(string)) == 27


# Few moments and ids, so that every part of the order decides in some examples.
few = st.integers(0, 2).map(lambda n: f"2023-07-11T16:30:53.00{n}000Z")
places = st.tuples(few, st.sampled_from("012"), few, st.sampled_from(["a", "b", "", "😀", "\ud800"]))


@given(places, places)
def test_versions_sort_as_their_parts_do(one: tuple[str, str, str, str], other: tuple[str, str, str, str]) -> None:
    def parts(place: tuple[str, str, str, str]) -> tuple[str, str, str, bytes]:
        changed_at, rank, event_time, event_id = place
        return changed_at, rank, event_time, blake2b(event_id.encode("utf-8", "replace"), digest_size=8).digest()

    a, b = version(*one), version(*other)
    assert len(a) == 74
    assert a.isascii()
    assert (a < b) == (parts(one) < parts(other))
    assert (a == b) == (parts(one) == parts(other))


def test_a_tombstone_is_newer_than_a_snapshot_of_the_same_instant() -> None:
    moment = "2023-07-11T16:30:53.231Z"
    gone = meaning(deleted("a|1", date=moment, log_id="1"))
    for log_id in ("0", "1", "2"):
        late = meaning(updated(user("a|1", moment), date="2023-07-12T00:00:00.000Z", log_id=log_id))
        assert late.version < gone.version


def test_the_logs_time_decides_between_equal_snapshots() -> None:
    first, second = (
        meaning(updated(user(), date=f"2023-07-11T16:30:53.{ms}Z", log_id=i)) for ms, i in [(250, "b"), (251, "a")]
    )
    assert first.version < second.version


@pytest.mark.parametrize("date", ["", "soon", None, ABSENT])
def test_invalid_log_time_does_not_fail_the_change(date: Any) -> None:
    assert meaning(updated(user(), date=date)).updated_at == instant(UPDATED_AT)


def test_redeliveries_have_the_same_version() -> None:
    again = updated(user()) | {"id": "another", "time": "2024-01-01T00:00:00Z"}
    assert meaning(again).version == meaning(updated(user())).version
    assert DATE[:19] in meaning(again).version


# Rows of an export

EXPORT = Export("job_1", instant("2023-07-12T00:00:00.000Z"))


def row(profile: Json, export: Export = EXPORT) -> Partial:
    return exported(text(profile).encode(), export)[0]


@given(few, few, few, st.sampled_from(["a", "b", "😀"]), st.sampled_from(["job_1", "job_2", ""]))
def test_a_row_ranks_below_every_event_of_the_same_updated_at(
    changed_at: str, taken_at: str, said_at: str, event_id: str, export_id: str
) -> None:
    of_export = row(user("a|1", changed_at), Export(export_id, taken_at))
    streams = streamed("user.updated", user("a|1", changed_at), event_id=event_id, time=said_at)
    deletion = streamed("user.deleted", {"user_id": "a|1", "deleted_at": changed_at}, event_id=event_id, time=said_at)
    for event in (
        updated(user("a|1", changed_at), log_id=event_id, date=said_at),
        created(user("a|1", changed_at), log_id=event_id, date=said_at),
        deleted("a|1", log_id=event_id, date=changed_at),
        streams,
        streams | {"source": "auth0-sync/refresh"},
        deletion,
    ):
        assert of_export.version < meaning(event).version
    assert len(of_export.version) == 74


@given(few, few)
def test_a_row_and_an_event_of_other_moments_are_ordered_by_updated_at(one: str, other: str) -> None:
    assume(one != other)
    event = meaning(updated(user("a|1", other), date=other))
    assert (row(user("a|1", one)).version < event.version) == (one < other)


def test_the_later_of_two_exports_wins() -> None:
    later = Export("job_0", instant("2023-07-12T00:00:00.001Z"))
    assert row(user()).version < row(user(), later).version
    assert row(user()).version == row(user()).version


def test_a_row_carries_only_what_was_exported() -> None:
    profile = {"user_id": "a|1", "updated_at": UPDATED_AT, "email": "a@acme.example"}
    assert row(profile).carried == Carried()
    asked = row(profile, Export("job_1", EXPORT.taken_at, ("email", "username", "user_metadata")))
    assert asked.carried == Carried(keys={asked.version: ("user_metadata", "username")})
    assert asked.source == "backfill"
    assert (asked.event_id, asked.updated_at) == ("job_1", instant(UPDATED_AT))


def test_of_two_versions_of_a_key_the_newer_counts() -> None:
    parts = Carried("", {"2": ("b", "a"), "1": ("a", "c")})
    assert parts.versions == {"a": "2", "b": "2", "c": "1"}
    assert Carried.of("", parts.versions) == Carried("", {"1": ("c",), "2": ("a", "b")})
    assert (parts.oldest, Carried("3", {"4": ("a",)}).oldest) == ("", "3")


def test_a_row_clears_what_was_exported_and_keeps_what_was_not() -> None:
    before = snapshot(updated(user("a|1", UPDATED_AT, username="ada", blocked=True)))
    later = {"user_id": "a|1", "updated_at": "2023-07-11T16:30:54.000Z"}
    after = merge(known(before), known(row(later, Export("job_1", EXPORT.taken_at, ("blocked",)))))
    assert bytes(after.profile["username"]) == b'"ada"'
    assert "blocked" not in after.profile
    assert bytes(merge(known(before), known(row(later))).profile["blocked"]) == b"true"


def test_a_row_dated_ahead_is_ordered_by_the_exports_time() -> None:
    change, notes = exported(text(user(updated_at=in_hours(48))).encode(), EXPORT)
    assert notes == (WRONG_CLOCK,)
    assert change.version.startswith(f"{EXPORT.taken_at}.0.")
    assert change.updated_at == instant(in_hours(48))
    assert exported(text(user()).encode(), EXPORT)[1] == ()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", errors.NotJson),
        (b"", errors.NotJson),
        (b'{"user_id":"a|1","updated_at":"2023-07-11T16:30:53.231Z","name":"\xff"}', errors.NotJson),
        (b'{"user_id":"a|1"} {}', errors.NotJson),
        (b"[]", errors.UnknownShape),
        (b"null", errors.UnknownShape),
        (b'{"user_id":7,"updated_at":"2023-07-11T16:30:53.231Z"}', errors.UnknownShape),
        (b'{"user_id":"a|1","updated_at":7}', errors.UnknownShape),
        (b'{"updated_at":"2023-07-11T16:30:53.231Z"}', errors.NoUserId),
        (b'{"user_id":"","updated_at":"2023-07-11T16:30:53.231Z"}', errors.NoUserId),
        (b'{"user_id":"a|1"}', errors.BadTimestamp),
        (b'{"user_id":"a|1","updated_at":null}', errors.BadTimestamp),
        (b'{"user_id":"a|1","updated_at":"soon"}', errors.BadTimestamp),
    ],
)
def test_odd_row_is_refused(line: bytes, reason: type[errors.Poison]) -> None:
    with pytest.raises(reason) as caught:
        exported(line, EXPORT)
    assert type(caught.value) is reason
    assert "a|1" not in str(caught.value)


def test_row_is_made_storable() -> None:
    start = b'{"user_id":"a|1","updated_at":"2023-07-11T16:30:53.231Z","user_metadata":'
    damaged, _ = exported(start + rb'{"x":"\u0000\ud800"}}', EXPORT)
    assert bytes(damaged.profile) == start + rb'{"x":"\ufffd\ufffd"}}'
    deep, _ = exported(start + b"[" * 20_000 + b"]" * 20_000 + b"}", EXPORT)
    assert bytes(known(deep).profile["user_metadata"]).count(b"[") == 20_000
