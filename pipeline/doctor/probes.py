"""Find out which version of the test's user a store has.

The version must be the test's own: another run of the test made a newer one.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, Protocol
from uuid import uuid4

from pipeline import invocation
from pipeline.data_api import Unavailable
from pipeline.doctor.deployed import Clock
from pipeline.doctor.synthetic import USER, Event
from pipeline.stores import Store

AGAIN: Final = 2.0
"""Seconds between two probes."""


class Probe(Protocol):
    """A probe of one store."""

    how: str
    """The method, in a few words."""
    problem: str
    """The error of the last probe."""

    def has(self, event: Event, before: Event) -> bool:
        """Return whether the store has the user as of `event`; `before` is an older event of the user."""


class Reading:
    """Reads the user."""

    def __init__(self, store: Store, how: str) -> None:
        self._store = store
        self.how = how
        self.problem = ""

    def has(self, event: Event, before: Event) -> bool:  # noqa: ARG002 - the protocol's
        """See `Probe`."""
        try:
            user = self._store.read(USER)
        except Unavailable as error:
            self.problem = str(error)  # a paused cluster resumes now
            return False
        self.problem = ""
        return user is not None and user["version"] == event.version


class Invoking:
    """Send events to the sync function again, for a server that only the function reaches.

    Once the newer event is stored, the function reports the older one as stale; then it reports the newer one as a
    duplicate, which confirms the version.
    """

    how = "by what the function finds when it is given the same event again"

    def __init__(self, client: Any, function: str) -> None:
        self._client = client
        self._function = function
        self.problem = ""

    def has(self, event: Event, before: Event) -> bool:
        """See `Probe`."""
        return self._finds(before, "Stale") and self._finds(event, "Duplicate")

    def _finds(self, event: Event, outcome: str) -> bool:
        record = {"messageId": str(uuid4()), "body": event.body, "attributes": {}, "messageAttributes": {}}
        answer = invocation.invoke(self._client, self._function, {"Records": [record]})
        said = answer["Payload"].read().decode()
        if "FunctionError" in answer:
            self.problem = f"the function says: {invocation.function_error(said)}"
            return False
        counts = metrics(invocation.tail(answer))
        if not counts:
            self.problem = f"{self._function} answered {said}, and its log has no metrics of the result"
            return False
        self.problem = ""
        return counts.get(outcome, 0) > 0


def metrics(log: str) -> Mapping[str, float]:
    """Return the metrics in a log's last EMF line, by the names of docs/metrics.md."""
    for line in reversed(log.splitlines()):
        start = line.find('{"')
        if start < 0 or '"_aws"' not in line:
            continue
        try:
            found = json.loads(line[start:])
        except ValueError:
            continue  # cut at the beginning: the log is only the end of one
        values = {name: value[0] for name, value in found.items() if isinstance(value, list) and value}
        return {name: value for name, value in values.items() if isinstance(value, int | float)}
    return {}


def wait(probe: Probe, event: Event, before: Event, seconds: float, clock: Clock) -> float | None:
    """Wait until the store has an event; return the seconds that this took, or None after the timeout."""
    began = clock.monotonic()
    while not probe.has(event, before):
        if clock.monotonic() - began > seconds:
            return None
        clock.sleep(AGAIN)
    return clock.monotonic() - began
