"""Check Auth0's event sources, and count the events that arrive from them."""

from datetime import timedelta
from typing import Final

from pipeline.doctor import metrics
from pipeline.doctor.deployed import Deployed, stream_title
from pipeline.doctor.findings import Finding, bad, ok, unknown

_PROBLEMS: Final = {
    "PENDING": ("it has no bus, and EventBridge drops Auth0's events", "Deploy again"),
    "DELETED": ("Auth0 has deleted it", "Create the stream again, and use the new source's name"),
}


def check(deployed: Deployed) -> list[Finding]:
    """Check the state of each source, and count the events of the last day."""
    events = deployed.source_client("events")
    states = {name: events.describe_event_source(Name=name)["State"] for name in deployed.sources.values()}
    found = [_source(stream, name, states[name]) for stream, name in deployed.sources.items()]
    now = deployed.clock.now()
    counts = metrics.of_archive_rules(deployed, "MatchedEvents", now - timedelta(days=1), now)
    return found + [_arrived(stream, count) for stream, count in counts.items()]


def _source(stream: str, name: str, state: str) -> Finding:
    title = f"Event source of the {stream_title(stream)}"
    if state == "ACTIVE":
        return ok(title, f"{name} is {state}")
    why, advice = _PROBLEMS.get(state, ("", ""))
    return bad(title, f"{name} is {state}" + (f": {why}" if why else ""), advice)


def _arrived(stream: str, count: int) -> Finding:
    title = f"Events of the {stream_title(stream)}"
    if count:
        return ok(title, f"{count:,.0f} in the last 24 hours")
    return unknown(title, "none seen in the last 24 hours; metrics are minutes late")
