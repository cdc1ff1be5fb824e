"""A deployment that is made up."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.doctor import Clock, Deployed

NOW = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)


class FakeClock(Clock):
    """A clock that only `sleep` moves."""

    def __init__(self) -> None:
        self.slept = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.slept)

    def monotonic(self) -> float:
        return self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


def deployed(outputs: Mapping[str, Any], **clients: Any) -> Deployed:
    """Return a deployment with these outputs, and a client for each service."""
    outputs = {"region": "eu-central-1", "source_region": "eu-central-1"} | dict(outputs)
    return Deployed("prod", outputs, lambda service, _region: clients[service], 10, FakeClock())
