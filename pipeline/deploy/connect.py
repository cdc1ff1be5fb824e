"""Connect a tenant to an account: its streams, stopped until the buses exist, and their event sources."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pipeline.auth0.management import Auth0Error, Unanswered
from pipeline.auth0.streams import STOPPED, TITLES, Kind, Stream, Streams, Unavailable, require_source
from pipeline.deploy.kept import Stopped
from pipeline.progress import Progress

NAME: Final = "auth0-sync-{}"
"""Name of the streams of an environment, unless a person chooses others."""


@dataclass(frozen=True)
class Wanted:
    """The streams to have."""

    account: str
    region: str
    """The region of the event sources."""
    log_stream: str
    event_stream: str
    """Name of the Event Stream; empty for none."""
    log_days: int
    """Number of days of past logs."""


@dataclass(frozen=True)
class Connected:
    """The streams that a tenant has."""

    log: Stream
    event: Stream | None = None
    without: str = ""
    """The reason if there is no Event Stream."""

    @property
    def streams(self) -> list[Stream]:
        """Return all streams."""
        return [self.log, *([self.event] if self.event else [])]


class Connection:
    """Create missing streams, adopt existing ones, and stop those that this has created."""

    def __init__(self, streams: Streams, stopped: Stopped, domain: str, client_id: str) -> None:
        self._streams = streams
        self._stopped = stopped
        self._domain = domain
        self._client_id = client_id

    def make(self, wanted: Wanted, steps: Progress) -> Connected:
        """Return the streams; an existing one as it is. Raises Auth0Error."""
        log = self._log_stream(wanted, steps)
        if not wanted.event_stream:
            return Connected(log, without="not wanted")
        try:
            return Connected(log, self._event_stream(wanted, steps))
        except Unavailable as error:
            return Connected(log, without=str(error))

    def _log_stream(self, wanted: Wanted, steps: Progress) -> Stream:
        begin = None

        def create() -> Stream:
            nonlocal begin
            self._stopped.begin("log", self._domain, self._client_id)
            stream, begin = self._streams.create_log_stream(
                wanted.log_stream, wanted.account, wanted.region, wanted.log_days
            )
            return stream

        with steps.step(TITLES["log"]) as step:
            stream, made = self._once("log", wanted.log_stream, wanted, create)
            since = f", with the logs since {begin:%Y-%m-%d %H:%M} UTC" if begin else ""
            step.update(_said(stream, made) + since)
        require_source(stream)
        return stream

    def _event_stream(self, wanted: Wanted, steps: Progress) -> Stream:
        def create() -> Stream:
            self._stopped.begin("event", self._domain, self._client_id)
            return self._streams.create_event_stream(wanted.event_stream, wanted.account, wanted.region)

        with steps.step(TITLES["event"]) as step:
            try:
                stream, made = self._once("event", wanted.event_stream, wanted, create)
            except Unavailable:
                step.fail("the tenant cannot have one")
                raise
            step.update(_said(stream, made))
        require_source(stream)
        return stream

    def _once(self, kind: Kind, name: str, wanted: Wanted, create: Callable[[], Stream]) -> tuple[Stream, bool]:
        """Return the stream, and whether this created it; stopped if this, or a run that was killed, created it."""
        try:
            stream, made = self._streams.once(
                lambda: self._streams.find(kind, name, wanted.account, wanted.region), create
            )
        except Auth0Error as error:
            if not isinstance(error, Unanswered) and self._stopped.is_unfinished(kind):
                self._stopped.started(kind)
            raise
        if self._stopped.is_unfinished(kind):
            stream = self._streams.set_running(stream, False)
            self._stopped.stopped(stream)
        return stream, made


@dataclass(frozen=True)
class Started:
    """The result of starting a stopped stream."""

    kind: Kind
    problem: str = ""
    """The reason if it did not start."""
    stream: Stream | None = None


def start(streams: Streams, stopped: Stopped, sources: frozenset[str]) -> list[Started]:
    """Start the streams that `init` has stopped, if ``sources``, which have buses, contain their event source."""
    found = []
    for kind, stream_id in stopped.ids().items():
        stream = next((each for each in streams.all(kind) if each.id == stream_id), None)
        if stream is None:
            stopped.started(kind)
            found.append(Started(kind, "it was deleted in Auth0"))
        elif stream.source not in sources:
            found.append(Started(kind, f"the deployment has no bus for its event source, {stream.source}", stream))
        else:
            stream = streams.set_running(stream, True)
            stopped.started(kind)
            found.append(Started(kind, stream=stream))
    return found


def _said(stream: Stream, made: bool) -> str:
    stopped = stream.status == STOPPED[stream.kind]
    if made:
        return f"created {stream.name}, {stream.status}" + (" until the deploy" if stopped else "")
    return f"{stream.name} exists, {stream.status}"
