"""Check EventBridge's rules: their state, their targets, and the events that their patterns match.

Only Auth0 can publish to a partner bus, so TestEventPattern tests the patterns on sample events, which go nowhere.
"""

from datetime import datetime
from functools import partial
from typing import Any, Final

from pipeline.doctor import synthetic
from pipeline.doctor.deployed import Deployed, stream_title
from pipeline.doctor.findings import Finding, bad, existing, ok

CREATION: Final = "a user's creation"
LOGIN: Final = "a login"

_MATCHES: Final = {"user-changes": {CREATION}, "user-signals": set[str](), "archive": {CREATION, LOGIN}}
"""The samples that each rule matches."""


def check(deployed: Deployed) -> list[Finding]:
    """Check each rule of each stream."""
    return [
        existing(title, partial(_rule, deployed, title, subject, stream, name))
        for subject in _MATCHES
        for stream, name in deployed.outputs["rule_names"][subject].items()
        for title in [f"Rule {subject}, {stream_title(stream)}"]
    ]


def _rule(deployed: Deployed, title: str, subject: str, stream: str, name: str) -> Finding:
    events, bus = deployed.client("events"), deployed.outputs["bus_names"][stream]
    rule = events.describe_rule(Name=name, EventBusName=bus)
    found = {_last(one["Arn"]) for one in events.list_targets_by_rule(Rule=name, EventBusName=bus)["Targets"]}
    whom, wanted = _targets(deployed, subject, stream)
    problems = [] if rule["State"].startswith("ENABLED") else [f"it is {rule['State']}"]
    problems += [f"{target} is not its target" for target in sorted(wanted - found)]
    if stream == "log-stream":
        samples = _samples(deployed.sources[stream], deployed.clock.now())
        problems += _mismatches(events, rule["EventPattern"], samples, _MATCHES[subject])
    if problems:
        return bad(title, "; ".join(problems), "Deploy again: that puts the rule back")
    return ok(title, f"to {whom}" if wanted else "")


def _targets(deployed: Deployed, subject: str, stream: str) -> tuple[str, set[str]]:
    """Return a description of the targets that a rule must have, and their names."""
    queues = {name: _last(url) for name, url in deployed.outputs["queue_urls"].items()}
    refresh = {queues["refresh"]} if "refresh" in queues else set()
    match subject:
        case "user-changes":
            sinks = {queues["postgres"], queues["dynamodb"]}
            return "both sinks", sinks | refresh if stream == "log-stream" else sinks
        case "user-signals":
            return "the refresh", refresh
        case _:
            return "the archive", {deployed.outputs["firehose_name"]}


def _samples(source: str, now: datetime) -> dict[str, str]:
    return {CREATION: synthetic.created(source, now).body, LOGIN: synthetic.login(source, now)}


def _mismatches(events: Any, pattern: str, samples: dict[str, str], expected: set[str]) -> list[str]:
    """Describe the samples that the pattern matches by mistake, or misses."""
    problems = []
    for sample, event in samples.items():
        matches = events.test_event_pattern(EventPattern=pattern, Event=event)["Result"]
        if matches != (sample in expected):
            problems.append(f"it {'takes' if matches else 'does not take'} {sample}")
    return problems


def _last(name: str) -> str:
    """Return the resource's own name at the end of a queue's URL or an ARN."""
    return name.rpartition("/")[2].rpartition(":")[2]
