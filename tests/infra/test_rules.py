"""The rules that match each kind of event, by the emulator's matcher, agree with the functions' reading of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ministack.services import eventbridge

from pipeline.changes import Ignored, Signal, read
from pipeline.errors import Poison
from pipeline.log_types import LOGINS, NAMELESS, SIGNALS, USER_PATHS, WITHOUT_EFFECT
from tests.infra.test_patterns import PATTERNS, answer
from tests.strategies import ABSENT, call, created, deleted, log, path_of, streamed, text, updated, user

pytestmark = pytest.mark.emulator

Json = dict[str, Any]

STREAMS = {"auth0.logs": "log_stream", "auth0.events": "event_stream"}
REFRESHED = {"auth0.logs": {"user_signals", "user_changes"}, "auth0.events": {"user_signals"}}
"""The rules whose events the refresh gets, by feed."""
LARGEST_PATTERN = 2048
"""Characters; EventBridge's quota."""

IDENTITIES = f"{path_of('auth0|ada')}/identities"
WITHOUT_TIME = {"user_id": "auth0|ada", "email": "ada@acme.example"}


def rules(event: Json) -> set[str]:
    """Return the rules that match on the event's bus."""
    stream = STREAMS[event["source"].rpartition("/")[2]]
    files = {path.stem.removeprefix(f"{stream}_"): path for path in PATTERNS.glob(f"{stream}_*.json")}
    files["archive"] = PATTERNS / "everything.json"
    return {name for name, path in files.items() if answer(path.read_text(), event)}


def signal_log(kind: str) -> Json:
    if kind == "sdu":  # names the user in its description only
        return log(kind, description="user_id: 5f0c", user_id="")
    return log(kind, user_id="auth0|ada", details={"request": {"method": "POST", "path": "/u/login"}})


def scim(method: str, path: str) -> Json:
    request = {"method": method, "path": f"/scim/v2/connections/con_1{path}", "query": {}}
    return log("sscim", details={"request": request, "response": {"statusCode": 200}})


def without_absent(event: Json) -> Json:
    """Return the event without the keys that are ``ABSENT`` in its user."""
    data = event["detail"]["data"]
    if isinstance(data.get("object"), dict):
        data["object"] = {key: value for key, value in data["object"].items() if value is not ABSENT}
    return event


@pytest.mark.parametrize("path", sorted(PATTERNS.glob("*.json")), ids=lambda path: path.stem)
def test_eventbridge_takes_the_pattern(path: Path) -> None:
    pattern = path.read_text()
    assert eventbridge._event_pattern_error(pattern) is None
    assert len(json.dumps(json.loads(pattern), separators=(",", ":"))) <= LARGEST_PATTERN
    assert {"source": [{"prefix": "aws.partner/auth0.com/"}]}.items() <= json.loads(pattern).items()


@pytest.mark.parametrize("kind", SIGNALS)
def test_every_signal_reaches_the_refresh_and_only_it(kind: str) -> None:
    event = signal_log(kind)
    assert rules(event) == {"logins" if kind in LOGINS else "user_signals", "archive"}
    [meaning] = read(text(event))
    assert isinstance(meaning, Signal)
    assert meaning.cause == kind


def test_the_rules_name_the_signals_and_nothing_else() -> None:
    signals = json.loads((PATTERNS / "log_stream_user_signals.json").read_text())["detail"]["data"]["$or"][0]["type"]
    logins = json.loads((PATTERNS / "log_stream_logins.json").read_text())["detail"]["data"]["type"]
    assert (sorted(signals + logins), sorted(logins)) == (sorted(SIGNALS), sorted(LOGINS))


CHANGE, SIGNAL, BOTH = {"user_changes"}, {"user_signals"}, {"user_changes", "user_signals"}


@pytest.mark.parametrize(
    ("event", "matched"),
    [
        pytest.param(created(user()), CHANGE, id="created"),
        pytest.param(updated(user()), CHANGE, id="updated"),
        pytest.param(call("PUT", path_of("auth0|ada"), user()), CHANGE, id="replaced"),
        pytest.param(deleted("auth0|ada"), CHANGE, id="deleted"),
        pytest.param(updated(user(updated_at=ABSENT) | {"updated_at": None}), CHANGE, id="updated: null updated_at"),
        pytest.param(updated(WITHOUT_TIME), CHANGE, id="updated: no updated_at in the answer"),
        pytest.param(created(WITHOUT_TIME), CHANGE, id="created: no updated_at in the answer"),
        pytest.param(call("patch", path_of("auth0|ada")), CHANGE, id="updated: no answer"),
        pytest.param(call("patch", path_of("auth0|ada"), {"updated_at": "x"}), CHANGE, id="updated: no id in it"),
        pytest.param(updated(user("") , path=path_of("auth0|ada")), CHANGE, id="updated: empty id in the answer"),
        pytest.param(call("post", IDENTITIES, user()["identities"]), CHANGE, id="linked"),
        pytest.param(call("delete", f"{IDENTITIES}/google-oauth2/10", []), CHANGE, id="unlinked"),
        pytest.param(call("DELETE", f"{IDENTITIES}/a/b", user()["identities"]), CHANGE, id="unlinked, not all"),
        pytest.param(call("get", path_of("auth0|ada"), user()), CHANGE, id="read"),
        pytest.param(call("post", f"{path_of('auth0|ada')}/roles"), CHANGE, id="roles"),
        pytest.param(call("post", "/api/v2/clients", {"client_id": "c"}), set(), id="another resource"),
        pytest.param(log("f", user_id="auth0|ada"), set(), id="failed login"),
        pytest.param(log("one-of-next-year", user_id="auth0|ada"), set(), id="unknown type"),
        *[pytest.param(log(kind), set(), id=f"{kind}: names no user") for kind in NAMELESS],
        pytest.param(streamed("user.created", user()), CHANGE, id="streamed: created"),
        pytest.param(streamed("user.updated", user()), CHANGE, id="streamed: updated"),
        pytest.param(streamed("user.updated", WITHOUT_TIME), BOTH, id="streamed: no updated_at"),
        pytest.param(streamed("user.updated", user(name=ABSENT) ), BOTH, id="streamed: no name"),
        pytest.param(streamed("user.created", user(nickname=ABSENT)), BOTH, id="streamed: no nickname"),
        pytest.param(call("post", "/api/v2/users/", user()), CHANGE, id="created: slash"),
        pytest.param(call("post", "/api/v2/users?x=1", WITHOUT_TIME), CHANGE, id="created: query, no answer"),
        pytest.param(updated(user(name="***")), CHANGE, id="masked by asterisks"),
        pytest.param(updated(user(email="5f4dcc3b5aa765d6")), CHANGE, id="hashed e-mail"),
        pytest.param(call("delete", "/api/v2/connections/con_1/users?email=x"), CHANGE, id="deleted by e-mail"),
        pytest.param(call("patch", "/api/v2/connections/con_1"), set(), id="connection changed"),
        pytest.param(call("delete", "/api/v2/user-blocks/auth0%7Cada"), SIGNAL, id="unblocked"),
        pytest.param(scim("DELETE", "/Users/auth0%7Cada"), BOTH, id="deleted by SCIM"),
        pytest.param(scim("PATCH", "/Users/auth0%7Cada"), SIGNAL, id="changed by SCIM"),
        *[pytest.param(log(kind), set(), id=kind) for kind in sorted(WITHOUT_EFFECT)],
        pytest.param(streamed("user.deleted", {"user_id": "auth0|ada"}), CHANGE, id="streamed: deleted"),
        pytest.param(streamed("organization.created", {"id": "org_1"}), set(), id="streamed: organization"),
    ],
)  # fmt: skip
def test_events_match_the_documented_rules(event: Json, matched: set[str]) -> None:
    assert rules(without_absent(event)) == matched | {"archive"}


IDS = st.sampled_from(("auth0|ada", "5f0c", "waad|a/b", "samlp|conn|é@acme.example", "auth0|identities"))


@st.composite
def paths(draw: st.DrawFn) -> str:
    path = path_of(draw(IDS)) if draw(st.booleans()) else "/api/v2/users"
    beneath = [f"/{name}{rest}" for name in USER_PATHS if name for rest in ("", "/", "/auth0/1", "/1?x=1")]
    return path + draw(st.sampled_from(("", "/", "?x=1", "/a-path-of-next-year", *beneath)))


bodies = st.sampled_from(
    (
        ABSENT,
        None,
        {},
        [],
        user(),
        user(email="***"),
        user(name="****"),
        WITHOUT_TIME,
        {"user_id": ""},
        {"user_id": "", "updated_at": "2023-07-11T16:30:53.231Z"},
        {"user_id": "auth0|ada", "updated_at": None},
        {"updated_at": "2023-07-11T16:30:53.231Z"},
        user()["identities"],
        [{"provider": "auth0", "user_id": "ada"}, {"provider": "google-oauth2", "user_id": "10"}],
    )
)
methods = st.sampled_from(("get", "post", "POST", "patch", "Patch", "put", "delete", "DELETE"))
calls = st.builds(call, methods, paths(), bodies, status=st.sampled_from((200, 201, 204, 404)))
kinds = st.sampled_from(("user.created", "user.updated", "user.deleted", "organization.created"))
logs = st.builds(signal_log, st.sampled_from((*SIGNALS, *NAMELESS, "f", "fp", "slo")))
scim_calls = st.builds(scim, methods, st.sampled_from(("/Users", "/Users/auth0%7Cada", "/Users/.search", "/Groups/1")))


@given(st.one_of(calls, st.builds(streamed, kinds, bodies), logs, scim_calls))
def test_rules_pass_every_event_that_functions_use(event: Json) -> None:
    matched = rules(event)
    assert "archive" in matched
    try:
        meanings = read(text(event))
    except Poison:
        return  # whatever it is, no function can do anything with it
    for meaning in meanings:
        match meaning:
            case Ignored():
                pass
            case Signal(cause=cause) if cause in LOGINS:
                assert "logins" in matched
            case Signal():
                assert matched & REFRESHED[event["source"].rpartition("/")[2]]
            case _:
                assert "user_changes" in matched
