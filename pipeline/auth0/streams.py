"""A tenant's Log Streams and Event Streams to EventBridge: find or create them, stop and start them.

Both kinds have an account and a region that Auth0 never changes, and an event source that Auth0 names when it creates
the stream. Auth0 documents the requests in the reference of its Management API (Log Streams, Event Streams).
"""

import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec

from pipeline.auth0.management import Auth0Error, Management, Refused, Unanswered

Kind = Literal["log", "event"]
Verb = Literal["read", "create", "update"]
VERBS: Final[tuple[Verb, ...]] = ("read", "create", "update")

TITLES: Final[dict[Kind, str]] = {"log": "Log Stream", "event": "Event Stream"}
RUNNING: Final[dict[Kind, str]] = {"log": "active", "event": "enabled"}
STOPPED: Final[dict[Kind, str]] = {"log": "paused", "event": "disabled"}
_PATHS: Final[dict[Kind, str]] = {"log": "log-streams", "event": "event-streams"}
_SOURCES: Final[dict[Kind, re.Pattern[str]]] = {
    kind: re.compile(rf"aws\.partner/auth0\.com/[A-Za-z0-9._-]+/auth0\.{kind}s") for kind in ("log", "event")
}
"""Patterns of the name of an event source, which becomes a part of Terraform's variables."""

SUBSCRIPTIONS: Final = ("user.created", "user.updated", "user.deleted")
LOG_DAYS: Final = (30, 10, 5, 1)
"""The days for which Auth0's plans keep logs, by its page "Log Data Retention"."""
REDELIVER: Final = "update:event_deliveries"
"""The permission to redeliver."""
_TRIES: Final = 3
_MARGIN: Final = timedelta(minutes=5)
"""The start of the logs is later than the plan's limit by this time, as the clocks may differ."""


def scopes(*kinds: Kind, verbs: Iterable[Verb] = VERBS) -> list[str]:
    """Return the permissions that reading, creating and updating streams of these kinds takes."""
    return [f"{verb}:{_PATHS[kind].replace('-', '_')}" for kind in kinds for verb in verbs]


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream to EventBridge."""

    kind: Kind
    id: str
    name: str
    status: str
    account: str
    region: str
    source: str
    """Name of its partner event source."""
    warnings: tuple[str, ...] = ()
    """The events and values that its settings leave out."""

    @property
    def runs(self) -> bool:
        """Return whether Auth0 delivers its events."""
        return self.status == RUNNING[self.kind]


class WrongStream(Auth0Error):
    """A stream of the wanted name exists, but not as it must be."""


class Unavailable(Auth0Error):
    """The tenant cannot have an Event Stream."""


class Streams:
    """The streams of one tenant."""

    def __init__(
        self,
        api: Management,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = api
        self._now = now
        self._sleep = sleep

    def all(self, kind: Kind) -> list[Stream]:
        """Return the streams of a kind that go to EventBridge. Raises Auth0Error; Unavailable for no Event Streams."""
        if kind == "log":
            return [stream for one in self._api.entries(_PATHS[kind]) if (stream := _log_stream(one))]
        try:
            found = self._api.entries(_PATHS[kind], "eventStreams", take="50")
            return [stream for one in found if (stream := _event_stream(one))]
        except Refused as error:
            raise _unavailable(error) from None

    def find(self, kind: Kind, name: str, account: str, region: str) -> Stream | None:
        """Return the stream of this name, or None.

        Raises WrongStream if it goes to another account or region, or if several have the name.
        """
        named = [stream for stream in self.all(kind) if stream.name == name]
        right = [stream for stream in named if (stream.account, stream.region) == (account, region)]
        if len(right) > 1:
            raise WrongStream(
                f"Auth0 has {len(right)} {TITLES[kind]}s with the name {name!r} to account {account}, region {region}. "
                "Rename or delete all but one in Auth0."
            )
        if named and not right:
            raise WrongStream(
                f"Auth0's {TITLES[kind]} {name!r} goes to account {named[0].account}, region {named[0].region}, not to "
                f"account {account}, region {region}. Auth0 cannot change that. Use credentials of that account "
                f"(AWS_PROFILE) and --region, or another name (--{kind}-stream), or delete the stream in Auth0."
            )
        return right[0] if right else None

    def create_log_stream(self, name: str, account: str, region: str, days: int) -> tuple[Stream, datetime | None]:
        """Create a Log Stream that begins up to ``days`` ago; return it, and the begin, which is None for now.

        Auth0 does not tell a plan's retention, and does not document what it does with an earlier begin. So this asks
        for the longest retention first, and for less each time that Auth0 refuses.
        """
        begins = [self._now() - timedelta(days=each) + _MARGIN for each in _days(days)]
        for begin in [*begins, None]:
            body: dict[str, Any] = {
                "name": name,
                "type": "eventbridge",
                "sink": {"awsAccountId": account, "awsRegion": region},
            }
            if begin is not None:
                body["startFrom"] = begin.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            try:
                answer = self._api.post(_PATHS["log"], body)
            except Refused as error:
                if error.status == 400 and begin is not None:
                    continue
                raise self._no_log_stream(error) from None
            return _created("log", answer, _log_stream(answer)), begin
        raise AssertionError("the last try has no begin")

    def create_event_stream(self, name: str, account: str, region: str) -> Stream:
        """Create an Event Stream that is disabled. Raises Unavailable if the tenant cannot have one."""
        body = {
            "name": name,
            "status": STOPPED["event"],
            "subscriptions": [{"event_type": each} for each in SUBSCRIPTIONS],
            "destination": {
                "type": "eventbridge",
                "configuration": {"aws_account_id": account, "aws_region": region},
            },
        }
        try:
            answer = self._api.post(_PATHS["event"], body)
        except Refused as error:
            raise _unavailable(error) from None
        return _created("event", answer, _event_stream(answer))

    def set_running(self, stream: Stream, runs: bool) -> Stream:
        """Start or stop a stream, and return it as it is now; a stream that is so already gets no request."""
        status = (RUNNING if runs else STOPPED)[stream.kind]
        if stream.status == status:
            return stream
        self._api.patch(f"{_PATHS[stream.kind]}/{quote(stream.id, safe='')}", {"status": status})
        return msgspec.structs.replace(stream, status=status)

    def redeliver(self, stream: Stream, begin: datetime | None, end: datetime | None) -> tuple[str, str]:
        """Let Auth0 send the failed deliveries of an Event Stream again; return the period in whole seconds.

        A second time does no harm: Auth0 then sends only what has failed again, and the sinks know the others.
        """
        since = seconds(begin) if begin else ""
        until = seconds(end or self._now() + timedelta(seconds=1))  # Auth0 excludes the end itself
        body = {"statuses": ["failed"], "date_to": until} | ({"date_from": since} if since else {})
        self._api.post(f"{_PATHS['event']}/{quote(stream.id, safe='')}/redeliver", body, repeat=True)
        return since, until

    def once(self, find: Callable[[], Stream | None], create: Callable[[], Stream]) -> tuple[Stream, bool]:
        """Return the stream that exists, or else create it; and whether this created it.

        Where Auth0 did not answer, this looks for the stream before it creates one again.
        """
        for left in reversed(range(_TRIES)):
            if found := find():
                return found, left < _TRIES - 1
            try:
                return create(), True
            except Unanswered:
                if not left:
                    raise
                self._sleep(2)
        raise AssertionError("the last try returns or raises")

    def _no_log_stream(self, error: Refused) -> Refused:
        there = [stream.name for stream in self.all("log")]
        adopt = (
            " Each plan has a limit of Log Streams. To use one that exists: --log-stream with its name "
            f"({', '.join(map(repr, there))})."
            if there
            else " If the tenant has as many as its plan allows, delete one."
        )
        return Refused(f"Auth0 did not create the Log Stream. {error}{adopt}", error.status, error.code)


def seconds(moment: datetime) -> str:
    """Return a moment in whole seconds, UTC: Auth0's reference gives 20 characters to the times of a period."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


class _LogSink(msgspec.Struct):
    awsAccountId: str  # noqa: N815 - Auth0's name
    awsRegion: str  # noqa: N815 - Auth0's name
    awsPartnerEventSource: str  # noqa: N815 - Auth0's name


class _LogStream(msgspec.Struct, tag_field="type", tag="eventbridge"):
    id: str
    sink: _LogSink
    status: str
    name: str = ""
    filters: list[Any] | None = None
    pii_config: dict[str, Any] | None = None


class _Configuration(msgspec.Struct):
    aws_account_id: str
    aws_region: str
    aws_partner_event_source: str


class _Destination(msgspec.Struct, tag_field="type", tag="eventbridge"):
    configuration: _Configuration


class _Subscription(msgspec.Struct):
    event_type: str = ""


class _EventStream(msgspec.Struct):
    id: str
    destination: _Destination
    status: str
    name: str = ""
    subscriptions: list[_Subscription] = []


def _log_stream(answer: Any) -> Stream | None:
    """Return a Log Stream of Auth0's answer; None if it does not go to EventBridge."""
    try:
        found = msgspec.convert(answer, _LogStream)
    except msgspec.ValidationError:
        return None
    warnings = []
    if found.filters:
        warnings.append("it has filters: the archive misses what they leave out")
    if found.pii_config and found.pii_config.get("log_fields"):
        warnings.append("it masks personal data: the stores miss changes of the masked fields")
    sink = found.sink
    return _stream("log", found, sink.awsAccountId, sink.awsRegion, sink.awsPartnerEventSource, tuple(warnings))


def _event_stream(answer: Any) -> Stream | None:
    """Return an Event Stream of Auth0's answer; None if it does not go to EventBridge."""
    try:
        found = msgspec.convert(answer, _EventStream)
    except msgspec.ValidationError:
        return None
    has = {each.event_type for each in found.subscriptions}
    missing = [each for each in SUBSCRIPTIONS if each not in has]
    warnings = (f"it does not subscribe to {', '.join(missing)}: add that in Auth0",) if missing else ()
    to = found.destination.configuration
    return _stream("event", found, to.aws_account_id, to.aws_region, to.aws_partner_event_source, warnings)


def _stream(
    kind: Kind, found: _LogStream | _EventStream, account: str, region: str, source: str, warnings: tuple[str, ...]
) -> Stream:
    return Stream(
        kind=kind, id=found.id, name=found.name, status=found.status,
        account=account, region=region, source=source, warnings=warnings,
    )  # fmt: skip


def require_source(stream: Stream) -> None:
    """Raise WrongStream if the name of the event source is not as AWS and Terraform's variables have it."""
    if not _SOURCES[stream.kind].fullmatch(stream.source):
        raise WrongStream(
            f"Auth0's {TITLES[stream.kind]} {stream.name!r} has the event source {stream.source!r}, which is not like "
            f"aws.partner/auth0.com/<tenant>-<id>/auth0.{stream.kind}s. If the stream is new, run this again."
        )


def _created(kind: Kind, answer: Any, stream: Stream | None) -> Stream:
    if stream is None:
        raise WrongStream(f"Auth0 created a {TITLES[kind]}, and answered without its event source: {answer!r}")
    return stream


def _days(most: int) -> list[int]:
    return sorted({days for days in (most, *LOG_DAYS) if 0 < days <= most}, reverse=True)


def _unavailable(error: Refused) -> Auth0Error:
    """Return Unavailable for a refusal that is about the tenant, and not about the request or the credentials."""
    if error.status in (400, 401):
        return error
    return Unavailable(str(error))
