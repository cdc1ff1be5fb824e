"""Auth0's partner event sources in EventBridge: list them, and wait for new ones."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from pipeline.deploy import DeployError

AUTH0: Final = "aws.partner/auth0.com/"
SECONDS: Final = 180.0
"""Seconds to wait for a new event source."""
_PAUSE: Final = 3.0


def states(events: Any) -> dict[str, str]:
    """Return the state of each of Auth0's event sources by name, of every page."""
    answer = events.list_event_sources(NamePrefix=AUTH0, Limit=100)
    found = [*answer["EventSources"]]
    while token := answer.get("NextToken"):
        answer = events.list_event_sources(NamePrefix=AUTH0, Limit=100, NextToken=token)
        found += answer["EventSources"]
    return {source["Name"]: source["State"] for source in found}


def wait(
    events: Any,
    names: Iterable[str],
    *,
    place: str,
    seconds: float = SECONDS,
    sleep: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, str]:
    """Return the state of each named source as soon as all exist. Raises DeployError if they do not in time."""
    wanted = [*names]
    deadline = time.monotonic() + seconds
    while True:
        there = states(events)
        missing = [name for name in wanted if there.get(name, "DELETED") == "DELETED"]
        if not missing:
            return {name: there[name] for name in wanted}
        if time.monotonic() >= deadline:
            gone = [name for name in missing if name in there]
            raise DeployError(
                f"EventBridge has no event source {missing[0]} in {place}, {seconds:.0f} seconds after Auth0 named it"
                + (": it was deleted. Delete the stream in Auth0, and run this again." if gone else ". Run this again.")
            )
        tell(f"waiting for {', '.join(missing)}")
        sleep(_PAUSE)
