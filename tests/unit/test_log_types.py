"""The table of log types and paths: all that Auth0 publishes, and the user in each place that a type has."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive import questions
from pipeline.changes import NO_CHANGE, UNKNOWN_PATH, UNNAMED_DELETION, Ignored, Meaning, Signal, Tombstone, read
from pipeline.log_types import LOGINS, NAMELESS, PLACES, SIGNALS, USER_PATHS, WITHOUT_EFFECT, WRITES
from tests.archive import VIEWS
from tests.strategies import ABSENT, Json, call, log, path_of, snapshot, text, user

CASES = Path(__file__).parents[1] / "cases"
PUBLISHED = {kind: places for kind, *places in map(str.split, (CASES / "log_types.txt").read_text().splitlines()[1:])}


def meanings(event: Json) -> tuple[Meaning, ...]:
    return read(text(event))


def test_every_published_type_is_settled_once() -> None:
    tables = [set(SIGNALS), set(NAMELESS), WITHOUT_EFFECT, {"sapi"}]
    assert set().union(*tables) == PUBLISHED.keys()
    assert sum(map(len, tables)) == len(PUBLISHED) == 166
    assert LOGINS.keys() < SIGNALS.keys()


@pytest.mark.parametrize("kind", sorted(PUBLISHED))
def test_the_places_are_those_of_the_published_schema(kind: str) -> None:
    """The table may have more places; a schema with an open body lists none."""
    places = PLACES.get(kind, PLACES[""])
    if kind not in ("sapi", "mgmt_api_read"):  # whose user_id is the actor
        assert set(PUBLISHED[kind]) - {"details.request.path"} <= {*places, "details.user_id", *ENROLLMENTS}
    if not places:
        assert "user_id" not in PUBLISHED[kind]


ENROLLMENTS = ("details.enrollment.user_id",)  # also on Guardian's logs that change nothing


def placed(kind: str, place: str, user_id: str = "auth0|1") -> Json:
    """Return a log that names its user in one place only."""
    if place == "user_id":
        return log(kind, user_id=user_id)
    if place == "description":
        return log(kind, user_id="", description=f"user_id: {user_id}")
    if place == "details.request.path":
        request = {"method": "PATCH", "path": f"/scim/v2/connections/con_1/Users/{path_of(user_id).rpartition('/')[2]}"}
        return log(kind, details={"request": request})
    return log(kind, user_id="", details={place.split(".")[1]: {"user_id": user_id}})


SIGNAL_PLACES = [(kind, place) for kind in SIGNALS for place in PLACES.get(kind, PLACES[""])]


@pytest.mark.parametrize(("kind", "place"), SIGNAL_PLACES)
def test_a_signals_user_is_found_in_each_of_its_places(kind: str, place: str) -> None:
    assert meanings(placed(kind, place)) == (Signal("auth0|1", kind),)
    if place not in ("user_id", "details.request.path"):
        assert meanings(placed(kind, place, "1")) == (Signal("auth0|1", kind),)


@pytest.mark.parametrize("kind", SIGNALS)
@pytest.mark.parametrize("details", [ABSENT, None, [], {}, {"body": [], "query": 5}, {"body": {"user_id": 5}}])
def test_signal_without_a_user_is_counted_separately(kind: str, details: Any) -> None:
    assert meanings(log(kind, user_id="", details=details)) == (Ignored(f"type {kind} that names no user"),)


# SCIM


def scim(method: str, path: str, **data: Any) -> Json:
    return log("sscim", details={"request": {"method": method, "path": path, "query": {}}}, **data)


@pytest.mark.parametrize(
    "base", ["/scim/v2/connections/con_1/Users", "/Users", "Users", "https://x.auth0.com/scim/v2/Users"]
)
@pytest.mark.parametrize("tail", ["", "/", "?attributes=x", "?from=/Users/okta%7C2"])
def test_scim_names_its_user_in_the_path(base: str, tail: str) -> None:
    assert meanings(scim("PUT", f"{base}/okta%7Ca%7Cb%2Fc{tail}")) == (Signal("okta|a|b/c", "sscim"),)
    [gone] = meanings(scim("delete", f"{base}/okta%7C1{tail}"))
    assert isinstance(gone, Tombstone)
    assert (gone.user_id, gone.deleted_at) == ("okta|1", "2023-07-11T16:30:53.250000Z")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/Users/okta%7C1"), ("get", "/Users"), ("POST", "/Users/.search"), ("GET", "/Schemas")]
)
def test_a_scim_read_changes_nothing(method: str, path: str) -> None:
    assert meanings(scim(method, path)) == (Ignored("type sscim that only reads"),)


def test_scim_creation_has_no_user() -> None:
    assert meanings(scim("POST", "/scim/v2/connections/con_1/Users")) == (Ignored("type sscim that names no user"),)


def test_a_read_of_the_my_account_api_changes_nothing() -> None:
    request = {"method": "GET", "path": "/me/v1/authentication-methods"}
    kind = "my_account_authentication_method_succeeded"
    assert meanings(log(kind, user_id="auth0|1", details={"request": request})) == (
        Ignored(f"type {kind} that only reads"),
    )
    request["method"] = "DELETE"
    assert meanings(log(kind, user_id="auth0|1", details={"request": request})) == (Signal("auth0|1", kind),)


# Paths

OF_SDK = """
POST authentication-methods; PUT authentication-methods; DELETE authentication-methods; PATCH authentication-methods/m;
DELETE authentication-methods/m; DELETE authenticators; DELETE multifactor/duo; POST identities;
DELETE identities/auth0/1; POST multifactor/actions/invalidate-remember-browser; POST permissions; DELETE permissions;
POST recovery-code-regeneration; POST revoke-access; POST risk-assessments/clear; POST roles; DELETE roles;
DELETE refresh-tokens; DELETE sessions; DELETE federated-connections-tokensets/t
"""
CHANGING = {"authentication-methods", "authenticators", "multifactor/duo", "identities", "authentication-methods/m"}


@pytest.mark.parametrize("one", [one.strip() for one in OF_SDK.split(";")])
@pytest.mark.parametrize("tail", ["", "/", "?x=a/b"])
def test_every_call_of_the_sdk_on_a_user_is_settled(one: str, tail: str) -> None:
    method, beneath = one.split()
    answer = [{"provider": "auth0", "user_id": "1"}] if beneath == "identities" else ABSENT
    found = meanings(call(method, f"{path_of('auth0|1')}/{beneath}{tail}", answer))
    changes = beneath in CHANGING or beneath.startswith("identities")
    assert isinstance(found[0], Signal) == changes
    assert changes or found == (Ignored(NO_CHANGE),)


@given(st.sampled_from([*USER_PATHS]), st.sampled_from([*WRITES, "get", "POST", "Delete"]))
def test_known_path_does_not_count_as_unknown(beneath: str, method: str) -> None:
    path = f"{path_of('auth0|1')}/{beneath}" if beneath else path_of("auth0|1")
    for meaning in meanings(call(method, path, [], status=404)):
        assert meaning in (Ignored(NO_CHANGE), Ignored("api call that failed"))


@pytest.mark.parametrize("tail", ["", "/", "?x=1", "/?x=1"])
def test_a_creation_by_any_form_of_the_path(tail: str) -> None:
    found = snapshot(call("post", f"/api/v2/users{tail}", user("auth0|1"), status=201))
    assert found.user_id == "auth0|1"


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2/users/auth0%7C1/next-year",
        "/api/v2/users/auth0%7C1/next-year/x",
        "/api/v2/users//auth0%7C1",
        "/api/v2/users//",
        "/api/v2/users/auth0%7C1//x",
    ],
)
@pytest.mark.parametrize("method", WRITES)
def test_unknown_path_on_users_is_counted_separately(method: str, path: str) -> None:
    assert meanings(call(method, path, user())) == (Ignored(UNKNOWN_PATH),)
    assert meanings(call("get", path, user())) == (Ignored(NO_CHANGE),)


def test_an_unblocked_user_is_a_signal() -> None:
    assert meanings(call("delete", "/api/v2/user-blocks/auth0%7C1")) == (Signal("auth0|1", "user-blocks"),)
    assert meanings(call("delete", "/api/v2/user-blocks?identifier=x")) == (Ignored(NO_CHANGE),)
    assert meanings(call("get", "/api/v2/user-blocks/auth0%7C1")) == (Ignored(NO_CHANGE),)


# Who else has the list


def test_login_question_has_every_login_type() -> None:
    for succeeded in re.findall(r"type IN \(([^)]*'sepft'[^)]*)\)", VIEWS["login_attempts"]):
        found = set(re.findall(r"'(\w+)'", succeeded))
        assert {kind for kind in found if kind in SIGNALS} == LOGINS.keys()
        assert found - LOGINS.keys() <= WITHOUT_EFFECT
    assert "login_attempts" in questions.load("last_login").sql


# Cases of others


def case(name: str) -> Any:
    return json.loads((CASES / f"{name}.json").read_text())["events"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scim-patch", [Signal("okta|acme|00u1ada", "sscim")]),
        ("signal-sv-details", [Signal("auth0|u1", "sv")]),
        ("login-sepft", [Signal("auth0|u1", "sepft")]),
        ("mfa-multifactor", [Signal("auth0|u10", "multifactor")]),
    ],
)
def test_signals_of_cases(name: str, expected: list[Signal]) -> None:
    assert [meaning for event in case(name) for meaning in meanings(event)] == expected


def test_deletion_by_email_has_no_user() -> None:
    _, deletion = case("delete-connection-user")
    assert meanings(deletion) == (Ignored(UNNAMED_DELETION),)
