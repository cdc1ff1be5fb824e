"""What happens to a few users of a tenant, how Auth0 tells it, and the state that any delivery must end in.

The model at the end is the specification of the sync. It knows what happened and shares no code with the pipeline.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from random import Random
from typing import Any, NamedTuple

from pipeline.changes import Export
from tests.strategies import (
    ABSENT,
    FORMS,
    START,
    Json,
    call,
    created,
    deleted,
    log,
    path_of,
    streamed,
    text,
    updated,
    user,
)

STORES = ("postgres", "dynamodb")
BEYOND_POSTGRES = "1e200000"
"""A number that Postgres cannot hold, and DynamoDB only as text."""


MASKED: tuple[Json, ...] = (
    *[{}] * 4,
    {"email": "*****"},
    {"name": "5f4dcc3b5aa765d6", "user_metadata": {"plan": "gold", "address": "***"}},
)
"""What a Log Stream may have in place of a user's keys."""


class State(NamedTuple):
    """What a store holds of a user."""

    event_id: str
    feed: str
    updated_at: datetime
    deleted_at: datetime | None
    profile: Json
    user_metadata: Any
    app_metadata: Any


@dataclass(frozen=True)
class Claim:
    """What a message says about one user; times are milliseconds since ``START``."""

    user_id: str
    at: int
    gone: bool
    said_at: int
    event_id: str
    feed: str
    profile: Json
    whole: bool = True
    """Whether keys that ``profile`` lacks are empty, and not just left out."""
    masked: frozenset[str] = frozenset()
    """Keys that are left out of a whole user."""
    empty: frozenset[str] = frozenset()
    """Keys that are empty, of a user that is not whole."""

    @property
    def exported(self) -> bool:
        """True for a row of an export."""
        return self.feed == "backfill"

    @property
    def order(self) -> tuple[int, int, int, bytes]:
        """The documented order.

        The change's time; rows of exports first and deletions last; the event's time; a digest of the event's id.
        """
        rank = 0 if self.exported else 2 if self.gone else 1
        return self.at, rank, self.said_at, blake2b(self.event_id.encode(), digest_size=8).digest()


@dataclass(frozen=True)
class Message:
    """One message as the queue carries it. Stores in ``refused_by`` can never take it.

    With ``export``, the body is lines of this export.
    """

    body: str
    claims: tuple[Claim, ...] = ()
    refused_by: tuple[str, ...] = ()
    export: Export | None = None


def model(messages: Iterable[Message], store: str) -> dict[str, State]:
    """What ``store`` must hold after all of ``messages``."""
    return {user_id: _state(claims) for user_id, claims in _claims(messages, store).items()}


def told(messages: Iterable[Message], store: str) -> list[tuple[str, str, Any, Any]]:
    """Return the user id, event id and metadata of every event that ``store`` can take."""
    events = [message for message in messages if message.export is None]
    return [
        (user_id, state.event_id, state.user_metadata, state.app_metadata)
        for user_id, claims in _claims(events, store).items()
        for state in (_state(claims[:number]) for number in range(1, len(claims) + 1))
    ]


def _claims(messages: Iterable[Message], store: str) -> dict[str, list[Claim]]:
    """What is claimed of each user that ``store`` can take, each once, the newest last."""
    claims: dict[str, dict[tuple[int, int, int, bytes], Claim]] = {}
    for message in messages:
        if store not in message.refused_by:
            for claim in message.claims:
                claims.setdefault(claim.user_id, {})[claim.order] = claim
    return {user_id: [by_order[order] for order in sorted(by_order)] for user_id, by_order in claims.items()}


def _state(claims: Sequence[Claim]) -> State:
    """The state after ``claims`` about one user: of each key what the newest one says that carries it."""
    profile: Json = {}
    for claim in claims:
        kept = {
            key: value
            for key, value in profile.items()
            if (key in claim.masked if claim.whole else key not in claim.empty)
        }
        profile = kept | claim.profile
    newest = claims[-1]
    moment = at(newest.at)
    metadata = (profile.get(name) or {} for name in ("user_metadata", "app_metadata"))
    return State(newest.event_id, newest.feed, moment, moment if newest.gone else None, profile, *metadata)


def at(milliseconds: int) -> datetime:
    return START + timedelta(milliseconds=milliseconds)


def history(rng: Random, prefix: str) -> list[Message]:
    """What Auth0 sends while it changes a few users, whose ids all hold ``prefix``; each message once."""
    tenant = _Tenant(rng, prefix)
    for _ in range(rng.randint(1, 9)):
        tenant.step()
    while not tenant.messages:
        tenant.step()
    return tenant.messages


class _Tenant:
    """Users that change within few milliseconds, so that most of what is told of them competes."""

    def __init__(self, rng: Random, prefix: str) -> None:
        self._rng, self._prefix = rng, prefix
        self._users = [f"auth0|{prefix}a", f"auth0|{prefix}B", f"samlp|conn|{prefix}é@acme.example", f"{prefix}%2F|c"]
        self._alive: set[str] = set()
        self._past: dict[str, list[tuple[int, Json]]] = {}
        self._clock = 0
        self._events = 0
        self.messages: list[Message] = []

    def step(self) -> None:
        rng = self._rng
        self._clock += rng.choice((0, 0, 1, 2))
        user_id = rng.choice(self._users)
        kind = rng.choice(("change", "change", "change", "delete", "delete", "link", "noise", "refused", "export"))
        if kind == "refused":
            self._refused()
        elif kind == "export":
            self._export()
        elif kind == "noise":
            self._noise(user_id)
        elif kind == "change" or user_id not in self._alive:
            self._change(user_id)
        elif kind == "delete":
            self._delete(user_id)
        else:
            self._link(user_id, rng.choice(self._users))

    def _change(self, user_id: str) -> None:
        """A user is created or updated, and either or both of the streams tell it."""
        new = user_id not in self._alive
        self._alive.add(user_id)
        profile = self._profile(user_id)
        self._past.setdefault(user_id, []).append((self._clock, profile))
        for feed in self._feeds():
            said = self._said()
            if feed == "auth0.logs":
                event_id, envelope = self._log_id()
                masked = self._rng.choice(MASKED)
                sent = profile | {key: value for key, value in masked.items() if key in profile}
                event = (created if new else updated)(sent, log_id=envelope["log_id"], date=_text(said))
                event |= {"id": envelope["id"]}
            else:
                event_id = self._id("evt_")
                kind = "user.created" if new else "user.updated"
                carried = self._some_of(profile)
                event = streamed(kind, carried, event_id=event_id, time=_text(said))
                self._tell(event, Claim(user_id, self._clock, False, said, event_id, feed, carried, whole=False))
                continue
            carried = {key: value for key, value in profile.items() if key not in masked}
            lost = frozenset(masked).intersection(profile)
            claim = Claim(user_id, self._clock, False, said, event_id, feed, carried, masked=lost)
            self._tell(event, claim)

    def _delete(self, user_id: str) -> None:
        self._alive.discard(user_id)
        for feed in self._feeds():
            said = self._said()
            if feed == "auth0.logs":  # which knows no other time than its own
                event_id, envelope = self._log_id()
                event = deleted(user_id, log_id=envelope["log_id"], date=_text(said)) | {"id": envelope["id"]}
                self._tell(event, Claim(user_id, said, True, said, event_id, feed, {}))
                continue
            event_id = self._id("evt_")
            body = self._rng.choice(({"user_id": user_id}, self._profile(user_id)))
            moment = said
            if self._rng.random() < 0.5:
                body, moment = body | {"deleted_at": _text(self._clock)}, self._clock
            event = streamed("user.deleted", body, event_id=event_id, time=_text(said))
            self._tell(event, Claim(user_id, moment, True, said, event_id, feed, {}))

    def _link(self, primary: str, secondary: str) -> None:
        """A user becomes an identity of another, and is no user any more."""
        if primary == secondary:
            return
        self._alive.discard(secondary)
        said = self._said()
        event_id, envelope = self._log_id()
        identities = [
            dict(zip(("provider", "user_id"), one.split("|", 1), strict=True)) for one in (primary, secondary)
        ]
        event = call(
            "post", f"{path_of(primary)}/identities", identities, log_id=envelope["log_id"], date=_text(said)
        ) | {"id": envelope["id"]}
        self._tell(event, Claim(secondary, said, True, said, event_id, "auth0.logs", {}))

    def _export(self) -> None:
        """Export users, each in one of the last two states, with some of the fields, known or not."""
        rng, export_id = self._rng, self._id("job_")
        for user_id in sorted(self._alive):
            if rng.random() < 0.8:  # a change without an event
                self._clock += rng.choice((0, 1))
                self._past[user_id].append((self._clock, self._profile(user_id)))
        taken_at, known = self._said(), rng.random() < 0.7
        keys = {key for past in self._past.values() for _, profile in past for key in profile}
        asked = {key for key in sorted(keys) if key in ("user_id", "updated_at") or rng.random() < 0.6}
        rows, claims = [], []
        for user_id in sorted(self._past):
            changed_at, profile = rng.choice(self._past[user_id][-2:])
            row = {key: value for key, value in profile.items() if key in asked}
            empty = frozenset(asked - row.keys()) if known else frozenset()
            rows.append(text(row))
            claims.append(
                Claim(user_id, changed_at, False, taken_at, export_id, "backfill", row, whole=False, empty=empty)
            )
        if rng.random() < 0.2:
            rows.insert(rng.randint(0, len(rows)), rng.choice(("{", '{"user_id":"x|1"}', "\0")))
        export = Export(export_id, FORMS[1](at(taken_at))[:26] + "Z", tuple(sorted(asked)) if known else ())
        self.messages.append(Message("\n".join(rows), tuple(claims), export=export))

    def _noise(self, user_id: str) -> None:
        """What must change nothing, however new it is."""
        profile = self._profile(user_id) | {"updated_at": _text(self._clock + 1000)}
        date = _text(self._clock + 1000)
        self._tell(
            self._rng.choice(
                (
                    streamed("user.updated", profile, event_id=self._id("evt_"), time=date, a0purpose="test"),
                    updated(profile, log_id=self._id("log-"), date=date, status=400),
                    call("delete", path_of(user_id), {}, status=404, log_id=self._id("log-"), date=date),
                    updated({}, path=path_of(user_id), log_id=self._id("log-"), date=date),
                    call("get", path_of(user_id), profile, log_id=self._id("log-"), date=date),
                    call("delete", f"{path_of(user_id)}/identities/auth0/x", [], log_id=self._id("log-"), date=date),
                    log("s", user_id=user_id, log_id=self._id("log-"), date=date),
                    log("fp", user_id=user_id, details=ABSENT, log_id=self._id("log-"), date=date),
                )
            )
        )

    def _refused(self) -> None:
        """What no store can take, or not Postgres: it fails alone."""
        if self._rng.random() < 0.5:
            self.messages.append(Message(f'{{"source": "{self._prefix}', refused_by=STORES))
            return
        event_id = self._id("log-")
        profile = self._profile(f"auth0|{self._prefix}{self._events}") | {"user_metadata": {"x": "@@"}}
        body = text(updated(profile, log_id=event_id, date=_text(self._clock))).replace('"@@"', BEYOND_POSTGRES)
        profile |= {"user_metadata": {"x": "1E+200000"}}
        claim = Claim(profile["user_id"], self._clock, False, self._clock, event_id, "auth0.logs", profile)
        self.messages.append(Message(body, (claim,), refused_by=("postgres",)))

    def _profile(self, user_id: str) -> Json:
        rng, number = self._rng, self._events
        metadata: Json = {}
        if rng.random() < 0.7:
            metadata = {"user_metadata": {"plan": rng.choice(("gold", "größer", None)), "number": number}}
        if rng.random() < 0.3:
            metadata["app_metadata"] = {"roles": ["admin", number]}
        return user(user_id, rng.choice(FORMS)(at(self._clock)), name=f"{number}", **metadata)

    def _some_of(self, profile: Json) -> Json:
        """What an Event Stream carries of a user: as much as it likes, but what Auth0 promises."""
        if self._rng.random() < 0.3:
            return profile
        promised = ("user_id", "created_at", "updated_at", "identities")
        return {key: value for key, value in profile.items() if key in promised or self._rng.random() < 0.5}

    def _feeds(self) -> tuple[str, ...]:
        return self._rng.choice((("auth0.logs",), ("auth0.events",), ("auth0.logs", "auth0.events")))

    def _said(self) -> int:
        """When a stream says it, which may be later than what it says; often the same for both."""
        return self._clock + self._rng.choice((0, 0, 1, 2))

    def _log_id(self) -> tuple[str, dict[str, str]]:
        """A log's id, and where it stands; Auth0's dashboard leaves it empty, which leaves the envelope's own."""
        event_id = self._id("log-")
        if self._rng.random() < 0.15:
            return event_id, {"log_id": "", "id": event_id}
        return event_id, {"log_id": event_id, "id": f"envelope-of-{event_id}"}

    def _id(self, kind: str) -> str:
        self._events += 1
        return f"{kind}{self._prefix}{self._events}"

    def _tell(self, event: Json, *claims: Claim) -> None:
        self.messages.append(Message(text(event), claims))


def _text(milliseconds: int) -> str:
    return FORMS[0](at(milliseconds))
