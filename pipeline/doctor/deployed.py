"""The arguments of checks: the outputs of a deployment, clients of its account, and a clock."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import boto3
from botocore.config import Config

from pipeline.settings import Cluster

SECONDS: Final = 180.0
"""Seconds to wait for a store: a paused cluster resumes in half a minute."""

_STREAMS: Final = {"log-stream": "Log Stream", "event-stream": "Event Stream"}


class Clock:
    """A clock that can sleep."""

    def now(self) -> datetime:
        """Return the date and time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the seconds of a monotonic clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(frozen=True)
class Deployed:
    """A deployment to check."""

    env: str
    """The environment's name in the commands."""
    outputs: Mapping[str, Any]
    """Terraform's outputs."""
    new_client: Callable[[str, str], Any]
    """Returns a client of a service in a region. Call it in one thread: boto3 sessions are not thread-safe."""
    seconds: float = SECONDS
    """Seconds in which a store must have an event."""
    clock: Clock = field(default_factory=Clock)

    @classmethod
    def of(cls, env: str, outputs: Mapping[str, Any], seconds: float = SECONDS) -> "Deployed":
        """Use the credentials in the environment."""
        config = Config(read_timeout=120)

        @cache
        def new_client(service: str, region: str) -> Any:
            return boto3.client(service, region_name=region, config=config)  # type: ignore[call-overload]  # the stubs have an overload per service

        return cls(env, outputs, new_client, seconds)

    def client(self, service: str) -> Any:
        """Return a client in the region of the data."""
        return self.new_client(service, self.outputs["region"])

    def source_client(self, service: str) -> Any:
        """Return a client in the region of Auth0's event sources, which may be another."""
        return self.new_client(service, self.outputs["source_region"])

    @property
    def sources(self) -> Mapping[str, str]:
        """Return the partner event sources by stream."""
        found: Mapping[str, str] = self.outputs["event_sources"]
        return found

    @property
    def forwards(self) -> bool:
        """Return whether another region forwards events."""
        return bool(self.outputs["region"] != self.outputs["source_region"])

    @property
    def cluster(self) -> Cluster | None:
        """Return the Aurora cluster of the deployment, if it has one."""
        found = self.outputs.get("database")
        return Cluster(found["cluster_arn"], self.outputs["query_secret_arn"], found["name"]) if found else None


def stream_title(stream: str) -> str:
    """Return Auth0's name of a stream, from its key in the outputs."""
    return _STREAMS.get(stream, stream)
