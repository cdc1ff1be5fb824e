"""The deployed rules take events of the configured sources, and of no other tenant.

Any Auth0 customer can make a stream to this account's id, so another tenant's source can stand beside ours.
"""

import json
from typing import Any

import pytest

from tests.infra.deployed import Json, State
from tests.infra.test_patterns import PATTERNS, answer, answers

pytestmark = pytest.mark.emulator

SOURCES = {
    "log-stream": "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs",
    "event-stream": "aws.partner/auth0.com/acme-5e6f7a8b/auth0.events",
}
"""The sources in the state's variables, in another region than the data."""

STRANGERS = [
    "aws.partner/auth0.com/evil-1a2b3c4d/auth0.logs",
    "aws.partner/auth0.com/evil-1a2b3c4d/auth0.events",
    *(f"{source}{more}" for source in SOURCES.values() for more in ("x", "/auth0.logs")),
    *(source.upper() for source in SOURCES.values()),
    "aws.partner/auth0.com/",
    "auth0-sync/refresh",
]


@pytest.fixture(scope="module")
def rules(state: Json) -> dict[str, Json]:
    """Return the pattern of each rule of the deployment, by the rule's name; relays have rules of their own."""
    found = State(state).all("aws_cloudwatch_event_rule")
    return {
        rule.values["name"]: json.loads(rule.values["event_pattern"])
        for rule in found
        if rule.values.get("event_pattern")
    }


def stream(name: str) -> str:
    [found] = [stream for stream in SOURCES if name.endswith(stream)]
    return found


def test_each_rule_takes_the_source_of_its_stream_alone(rules: dict[str, Json]) -> None:
    assert {name.removeprefix("auth0-sync-test-") for name in rules} == {
        *(f"{subject}-{stream}" for subject in ("user-changes", "user-signals", "archive") for stream in SOURCES),
        "logins-log-stream",
        *SOURCES,  # to the data's region
    }
    assert {name: pattern["source"] for name, pattern in rules.items()} == {
        name: [SOURCES[stream(name)]] for name in rules
    }


def of(source: str, event: Json) -> Json:
    return event | {"source": source}


def cases(rules: dict[str, Json]) -> list[tuple[Json, Json, bool]]:
    """Return each deployed pattern with an event and the answer of AWS's engine for the pattern's file."""
    files = {path.stem: json.loads(path.read_text()) for path in PATTERNS.glob("*.json")}

    def file(name: str) -> Json | None:
        subject = name.removeprefix("auth0-sync-test-").removesuffix(f"-{stream(name)}")
        return files.get("everything" if subject == "archive" else f"{stream(name)}_{subject}".replace("-", "_"))

    return [
        (pattern, of(SOURCES[stream(name)], case["event"]), case["matches"])
        for name, pattern in rules.items()
        for case in answers()
        if case["pattern"] == file(name)
    ]


def test_patterns_match_as_recorded_from_aws(rules: dict[str, Json]) -> None:
    tried = cases(rules)
    assert {matches for *_, matches in tried} == {True, False}
    wrong = [event for pattern, event, matches in tried if answer(json.dumps(pattern), event) is not matches]
    assert not wrong


def test_no_rule_takes_an_event_of_another_tenant(rules: dict[str, Json]) -> None:
    taken: list[Any] = [
        (pattern["source"], source)
        for pattern, event, matches in cases(rules)
        if matches
        for source in STRANGERS
        if answer(json.dumps(pattern), of(source, event))
    ]
    assert not taken


def test_a_relay_forwards_its_source_alone(rules: dict[str, Json]) -> None:
    for name, source in SOURCES.items():
        pattern = json.dumps(rules[f"auth0-sync-test-{name}"])
        anything = answers()[0]["event"]
        assert answer(pattern, of(source, anything))
        assert not [stranger for stranger in STRANGERS if answer(pattern, of(stranger, anything))]
