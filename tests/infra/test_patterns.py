"""The EventBridge patterns, tried on events by the emulator's matcher: what reaches the stores and the archive."""

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ministack.services import eventbridge

from devstack import traffic
from tests.infra.deployed import MODULE

PATTERNS = MODULE / "patterns"
TENANT = "aws.partner/auth0.com/acme-1a2b3c4d-0000-4000-8000-000000000000"

pytestmark = pytest.mark.emulator


@cache
def answers() -> list[dict[str, Any]]:
    """Return ``pattern``, ``event``, ``matches``, by AWS's own engine, github.com/aws/event-ruler at 337e8d9.

    For a changed pattern, ask it again: ``Machine.addRule`` takes the pattern, ``rulesForJSONEvent`` the event.
    """
    with gzip.open(Path(__file__).with_name("event-patterns.jsonl.gz"), "rt") as lines:
        return [json.loads(line) for line in lines]


def matches(pattern: str, event: dict[str, Any]) -> bool:
    return answer((PATTERNS / f"{pattern}.json").read_text(), event)


def answer(pattern: str, event: dict[str, Any]) -> bool:
    status, _, body = eventbridge._test_event_pattern({"EventPattern": pattern, "Event": json.dumps(event)})
    assert status == 200, body
    return bool(json.loads(body)["Result"])


def event(source: str, detail: dict[str, Any], **envelope: Any) -> dict[str, Any]:
    event_id, time = "7bf73129-1428-4cd3-a780-95db273d1602", "2026-11-22T08:00:00Z"
    return traffic.eventbridge(detail, event_id=event_id, time=time, source=source) | envelope


def log(type_: str, method: str = "", path: str = "", body: Any = None, **envelope: Any) -> dict[str, Any]:
    details = {"request": {"method": method, "path": path}, "response": {"body": {} if body is None else body}}
    return event(f"{TENANT}/auth0.logs", {"log_id": "1", "data": {"type": type_, "details": details}}, **envelope)


USER = {"user_id": "auth0|1", "updated_at": "2026-11-22T08:00:00.000Z"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(log("sapi", "post", "/api/v2/users", USER), id="create"),
        pytest.param(log("sapi", "patch", "/api/v2/users/auth0%7C1", USER), id="update"),
        pytest.param(log("sapi", "delete", "/api/v2/users/auth0%7C1"), id="delete: no body"),
        pytest.param(log("sapi", "patch", "/api/v2/users/auth0%7C1", [USER]), id="body of another shape"),
        pytest.param(log("sapi", "post", "/api/v2/users", {"message": "?"}), id="create without an id"),
        pytest.param(log("sapi", "patch", "/api/v2/users/x", {**USER, "updated_at": "soon"}), id="unreadable time"),
        pytest.param(log("sapi", "delete", "/api/v2/users/auth0%7C1/roles"), id="below a user"),
        pytest.param(log("sapi", "patch", "/api/v2/elsewhere", USER), id="user in the answer of another path"),
        pytest.param(log("sapi", "patch", "/api/v2/users/x", USER, **{"replay-name": "again"}), id="replayed"),
    ],
)
def test_a_user_change_reaches_the_stores(change: dict[str, Any]) -> None:
    assert matches("log_stream_user_changes", change)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(log("s", "post", "/api/v2/users/x", USER), id="login"),
        pytest.param(log("sapi", "post", "/api/v2/clients", {"client_id": "c"}), id="another resource"),
        pytest.param(log("sapi", "get", "/api/v2/users-by-email", []), id="another path that begins the same"),
        pytest.param({**log("sapi", "post", "/api/v2/users", USER), "source": "com.example"}, id="not from Auth0"),
    ],
)
def test_anything_else_does_not(other: dict[str, Any]) -> None:
    assert not matches("log_stream_user_changes", other)


@pytest.mark.parametrize("kind", ["user.created", "user.updated", "user.deleted"])
def test_event_stream_users_reach_the_stores(kind: str) -> None:
    detail = {"type": kind, "data": {"object": USER}}
    assert matches("event_stream_user_changes", event(f"{TENANT}/auth0.events", detail))


def test_event_stream_organizations_do_not() -> None:
    detail = {"type": "organization.member.added", "data": {"object": {"user": USER}}}
    assert not matches("event_stream_user_changes", event(f"{TENANT}/auth0.events", detail))


@pytest.mark.parametrize(
    "anything",
    [
        log("sapi", "patch", "/api/v2/users/x", USER),
        log("s"),
        event(f"{TENANT}/auth0.logs", {}),
        event(f"{TENANT}/auth0.logs", {"unexpected": [None]}, **{"detail-type": "Something new"}),
    ],
)
def test_the_archive_takes_everything_once(anything: dict[str, Any]) -> None:
    assert matches("everything", anything)
    assert not matches("everything", {**anything, "replay-name": "again"})


def test_the_emulator_matches_as_aws_does() -> None:
    wrong = [case for case in answers() if answer(json.dumps(case["pattern"]), case["event"]) is not case["matches"]]
    assert not wrong, f"{len(wrong)} of {len(answers())} events; the first: {wrong[0]}"


@pytest.mark.parametrize("file", sorted(PATTERNS.glob("*.json")), ids=lambda file: file.stem)
def test_each_pattern_has_answers_of_aws(file: Path) -> None:
    pattern = json.loads(file.read_text())
    found = {case["matches"] for case in answers() if case["pattern"] == pattern}
    assert found == {True, False}, f"AWS's engine has not been asked about {file.name} as it is now"


def test_every_answer_is_about_a_pattern_in_use() -> None:
    patterns = [json.loads(file.read_text()) for file in PATTERNS.glob("*.json")]
    assert all(case["pattern"] in patterns for case in answers())


ARRAY = '{"detail":{"users":{"id":["a"],"gone":[{"exists":false}]}}}'


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        ([{"id": "a"}, {"id": "b"}], True),
        ([{"id": "b"}, {"id": "a"}], True),
        ([{"id": "b"}], False),
        ([{"id": "a"}, {"id": "b", "gone": 1}], False),  # the field is there, if in another element
        ([{"id": "a"}, [{"gone": None}]], False),
        ([{"id": "a"}, {"gone": {}}], True),
    ],
)
def test_absent_means_in_no_element_of_an_array(users: list[Any], expected: bool) -> None:
    assert answer(ARRAY, event("app", {"users": users})) is expected
