"""Events made by hand and by Hypothesis, and the state that any delivery of them must end in."""

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from hashlib import blake2b
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from devstack.traffic import DEFAULT_SOURCE, eventbridge, sqs_record
from pipeline.batch import collect
from pipeline.changes import Change, Snapshot, Tombstone, read

Json = dict[str, Any]

DATE = "2023-07-11T16:30:53.250Z"
UPDATED_AT = "2023-07-11T16:30:53.231Z"
LOG_ID = "90020230711163053300000000000000000001223372050000000002"
EVENT_ID, TIME = "c2efdc54-030d-e6c7-ef97-7189dbc7fc14", "2023-07-11T16:30:54Z"
EVENTS_SOURCE = DEFAULT_SOURCE.replace("auth0.logs", "auth0.events")
ABSENT: Any = object()

against_a_server = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
"""For properties that talk to a store; the test itself empties the store before each example."""


# Events by hand


def user(user_id: str = "auth0|ada", updated_at: Any = UPDATED_AT, **fields: Any) -> Json:
    """Return a user as Auth0 answers with it."""
    provider, _, identity = user_id.partition("|")
    return {
        "created_at": "2023-07-01T08:00:00.000Z",
        "email": "ada.lovelace@acme.example",
        "email_verified": True,
        "identities": [
            {"connection": "Customers", "provider": provider, "user_id": identity, "isSocial": provider != "auth0"}
        ],
        "name": "Ada Lovelace",
        "nickname": "ada",
        "updated_at": updated_at,
        "user_id": user_id,
    } | fields


def log(kind: str = "sapi", *, log_id: str = LOG_ID, date: Any = DATE, **data: Any) -> Json:
    """Return the EventBridge event of a tenant log of any type."""
    fields = {"date": date, "type": kind, "description": "", "log_id": log_id} | data
    detail = {"log_id": log_id, "data": {key: value for key, value in fields.items() if value is not ABSENT}}
    return eventbridge(detail, event_id=EVENT_ID, time=TIME)


def call(method: str, path: str, answer: Any = ABSENT, *, status: Any = 200, request: Any = None, **data: Any) -> Json:
    """Return the log of a call of the Management API by an administrator, whose id and name are in it too."""
    response = {"statusCode": status} | ({} if answer is ABSENT else {"body": answer})
    admin = {"user_id": "google-oauth2|the-actor", "name": "Grace Hopper", "email": "grace@acme.example"}
    details = {
        "request": {"method": method, "path": path, "query": {}, "body": request or {}, "auth": {"user": admin}},
        "response": response,
    }
    return log(**{"user_id": "google-oauth2|the-actor", "details": details} | data)


def path_of(user_id: str) -> str:
    return f"/api/v2/users/{quote(user_id, safe='')}"


def updated(profile: Json, *, path: str | None = None, **data: Any) -> Json:
    return call("patch", path or path_of(profile["user_id"]), profile, **data)


def created(profile: Json, **data: Any) -> Json:
    return call("post", "/api/v2/users", profile, status=201, **data)


def deleted(user_id: str, **data: Any) -> Json:
    return call("delete", path_of(user_id), {}, status=204, **data)


def streamed(kind: str, item: Any = ABSENT, *, event_id: str = "evt_1", time: Any = DATE, **detail: Any) -> Json:
    """Return the EventBridge event of an Event Stream."""
    data = {} if item is ABSENT else {"object": item}
    cloud_event = {"id": event_id, "type": kind, "time": time, "data": data} | detail
    return eventbridge(cloud_event, event_id=EVENT_ID, time=TIME, source=EVENTS_SOURCE, detail_type=kind)


def text(event: Any) -> str:
    """Return an event as the message that carries it."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def records(*bodies: str | Json) -> list[Json]:
    """Return the event of an invocation by SQS; the ids of its messages are m0, m1, …"""
    bodies = tuple(body if isinstance(body, str) else text(body) for body in bodies)
    return [sqs_record(body, f"m{number}") for number, body in enumerate(bodies)]


def changes(*events: str | Json) -> list[Change]:
    """Return the changes that a sink has to apply after ``events``."""
    return collect(records(*events)).changes


def change(event: str | Json) -> Change:
    """Return the change that is all that an event means."""
    [found] = read(event if isinstance(event, str) else text(event))
    assert isinstance(found, Snapshot | Tombstone)
    return found


def snapshot(event: str | Json) -> Snapshot:
    """Return the whole user that is all that an event means."""
    found = change(event)
    assert isinstance(found, Snapshot)
    return found


def tombstone(event: str | Json) -> Tombstone:
    """Return the tombstone that is all that an event means."""
    found = change(event)
    assert isinstance(found, Tombstone)
    return found


# Times

FORMS: tuple[Callable[[datetime], str], ...] = (
    lambda at: at.isoformat(timespec="milliseconds")[:23] + "Z",
    lambda at: at.isoformat(timespec="microseconds"),
    lambda at: at.isoformat(timespec="microseconds").replace("+00:00", ""),
    lambda at: at.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat(),
    lambda at: at.astimezone(timezone(timedelta(hours=-9))).strftime("%Y%m%dT%H%M%S,%f%z"),
)
"""Ways to write one moment of whole milliseconds."""


# Text and JSON

nasty_text = st.one_of(
    st.text(max_size=8),
    st.lists(
        st.sampled_from(
            ["\0", "\ud800", "\udbff", "\udc00", "\udfff", "\\", "u0000", "ud800", '"', "a", "é", "😀", "\n"]
        ),
        max_size=8,
    ).map("".join),
)


any_number = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))


def documents(
    texts: st.SearchStrategy[str] = nasty_text, numbers: st.SearchStrategy[Any] = any_number
) -> st.SearchStrategy[Any]:
    """Return any JSON value."""
    leaves = st.one_of(st.none(), st.booleans(), numbers, texts)
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
    )


# Histories

START = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
USERS = ("auth0|a", "auth0|B", "samlp|conn|é@acme.example", "google-oauth2|10")


@dataclass(frozen=True)
class Log:
    """One thing that happened to a user; its number makes its id."""

    number: int
    user_id: str
    at: int  # milliseconds since START: when the user changed
    late: int  # milliseconds until the log of it was written
    gone: bool
    form: int
    metadata: Any = None

    @property
    def log_id(self) -> str:
        return f"log-{self.number}"

    @property
    def changed_at(self) -> datetime:
        return START + timedelta(milliseconds=self.at)

    @property
    def profile(self) -> Json:
        metadata = {} if self.metadata is None else {"user_metadata": self.metadata}
        return user(self.user_id, FORMS[self.form](self.changed_at), **metadata)

    @property
    def body(self) -> str:
        if self.gone:
            return text(deleted(self.user_id, log_id=self.log_id, date=FORMS[self.form](self.changed_at)))
        date = FORMS[0](self.changed_at + timedelta(milliseconds=self.late))
        return text(updated(self.profile, log_id=self.log_id, date=date))

    @property
    def order(self) -> tuple[int, bool, int, bytes]:
        """Return the documented order: the change's time, deletions last, the log's time, and a digest of its id."""
        written = self.at if self.gone else self.at + self.late
        return self.at, self.gone, written, blake2b(self.log_id.encode(), digest_size=8).digest()


_plain_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
_metadata = st.none() | st.dictionaries(
    _plain_text.filter(bool), st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), _plain_text), max_size=3
)


@st.composite
def histories(draw: st.DrawFn, users: Sequence[str] = USERS, max_size: int = 12) -> list[Log]:
    """Return logs of few users and few moments, so that most of them compete."""
    number = draw(st.integers(1, max_size))
    return [
        Log(
            index,
            draw(st.sampled_from(users)),
            draw(st.integers(0, 3)),
            draw(st.integers(0, 2)),
            draw(st.sampled_from((False, False, True))),
            draw(st.integers(0, len(FORMS) - 1)),
            draw(_metadata),
        )
        for index in range(number)
    ]


@st.composite
def deliveries(draw: st.DrawFn, logs: Sequence[Log]) -> list[list[Log]]:
    """Return the logs at least once each, in any order, cut into batches anywhere."""
    again = draw(st.lists(st.sampled_from(list(logs)), max_size=4))
    order = draw(st.permutations([*logs, *again]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=4)) | {0, len(order)})
    return [order[start:end] for start, end in itertools.pairwise(cuts)]


@st.composite
def delivered(draw: st.DrawFn) -> tuple[list[Log], list[list[Log]]]:
    logs = draw(histories())
    return logs, draw(deliveries(logs))


def newest(logs: Iterable[Log]) -> dict[str, Log]:
    """Return the state of every store after all of ``logs``, by a model that uses no code of the pipeline."""
    found: dict[str, Log] = {}
    for entry in logs:
        if entry.user_id not in found or found[entry.user_id].order < entry.order:
            found[entry.user_id] = entry
    return found
