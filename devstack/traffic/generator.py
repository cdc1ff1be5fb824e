"""Generate a tenant's activity: actions of users over time, and the deliveries of their logs."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from devstack.traffic import logs
from devstack.traffic.events import Change, Event, Kind
from devstack.traffic.expected_state import ExpectedState
from devstack.traffic.profiles import (
    DATABASE,
    EMAIL,
    Connection,
    Json,
    changed,
    connection_for,
    logged_in,
    moment,
    new_profile,
    short_timestamp,
    timestamp,
)
from devstack.traffic.seeded_random import SeededRandom

#: Start of a stream by default; fixed, so that the seed alone determines the stream.
DEFAULT_START = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)

_DUPLICATES = 0.14
_LATE = 0.09  # bursts and deletions delay some more
_USERS_KNOWN_BY = 0.6  # the part of the stream after which every user has appeared


def generate(
    events: int, users: int, seed: int, *, start: datetime | None = None, malformed: int = 0
) -> Iterator[Event]:
    """Yield exactly `events` deliveries, duplicates and malformed ones included, in the order of arrival.

    Memory grows with `users`, not with `events`. The same arguments give the same stream on every machine.

    :param users: number of users; fewer appear if there are too few events for all.
    :param start: time of the first log, with a time zone; `DEFAULT_START` if None.
    :param malformed: number of updates among the events whose `updated_at` is no time, of users without other events.
    """
    if start is not None and start.tzinfo is None:
        raise ValueError("start has no time zone")
    if events < 0 or users < 1 or not 0 <= malformed <= events:
        raise ValueError("events must not be negative, users at least 1, and malformed between 0 and events")
    began = round((start or DEFAULT_START).timestamp() * 1000)
    return _Tenant(events, users, seed, began, malformed).run()


class Traffic:
    """A stream and its expected state.

    Each iteration starts the same stream again, with a new `expected`, which is complete when the iteration ends.

    :param keep_log_ids: see `ExpectedState`; switch it off for streams of many millions.
    """

    def __init__(
        self,
        events: int,
        users: int,
        seed: int,
        *,
        start: datetime | None = None,
        malformed: int = 0,
        keep_log_ids: bool = True,
    ) -> None:
        self._arguments = (events, users, seed)
        self._start, self._malformed, self._keep_log_ids = start, malformed, keep_log_ids
        self.expected = ExpectedState(keep_log_ids=keep_log_ids)

    def __iter__(self) -> Iterator[Event]:
        expected = self.expected = ExpectedState(keep_log_ids=self._keep_log_ids)
        for event in generate(*self._arguments, start=self._start, malformed=self._malformed):
            expected.observe(event)
            yield event


@dataclass(slots=True)
class _User:
    number: int
    connection: Connection
    profile: Json
    last: int  # time of the user's last change, in milliseconds; later changes must not have an earlier time
    alive: bool = True

    @property
    def id(self) -> str:
        return str(self.profile["user_id"])


class _Tenant:
    def __init__(self, events: int, users: int, seed: int, began: int, malformed: int) -> None:
        self._dice = SeededRandom(seed)
        self._events, self._expected_users = events, users
        self._now = began
        self._users: list[_User] = []
        self._malformed_total, self._malformed_left = malformed, malformed
        self._planned = 0
        self._sequence = 0
        self._under_way: list[tuple[int, int, Event]] = []  # by arrival; short, as delays are short

    def run(self) -> Iterator[Event]:
        while self._planned < self._events:
            self._now += 1 + self._dice.below(4000)
            if self._malformed_due():
                self._put_malformed()
            else:
                self._something_happens()
            while self._under_way and self._under_way[0][0] <= self._now:
                yield heapq.heappop(self._under_way)[2]
        while self._under_way:
            yield heapq.heappop(self._under_way)[2]

    # What happens

    def _something_happens(self) -> None:
        rng = self._dice
        appeared_by = max(1.0, self._events * _USERS_KNOWN_BY)
        due = min(1.0, (self._planned + 1) / appeared_by) * self._expected_users
        if len(self._users) < min(due, self._expected_users) or not self._users:
            self._user_appears()
            return
        # The square makes some users much busier than others.
        user = self._users[int(len(self._users) * rng.fraction() ** 2)]
        at = max(self._now, user.last + 20)
        if not user.alive:
            if rng.chance(0.2):
                self._recreate(user, at)
            elif rng.chance(0.3):
                self._put_login_failure(user, at, known=False)
            return
        match rng.weighted(((44, "update"), (5, "delete"), (25, "login"), (11, "management"), (15, "visit"))):
            case "update":
                self._update_burst(user, at) if rng.chance(0.25) else self._update(user, at)
            case "delete":
                self._delete(user, at)
            case "login":
                self._login(user, at)
            case "management":
                log_id = self._log_id(at)
                self._put("other", at, log_id, logs.other_management(rng, at, log_id, user.id), None)
            case _:
                self._visit(user, at)

    def _user_appears(self) -> None:
        """Add a user: created by an API call, or signed up and then completed by the team's back-end."""
        rng, at, number = self._dice, self._now, len(self._users)
        connection = connection_for(rng)
        user = _User(number, connection, new_profile(rng, connection, number, at), at)
        self._users.append(user)
        by_email = connection in (DATABASE, EMAIL)
        if by_email and rng.chance(0.3):
            self._put_visit(user, at, logs.signed_up)
            self._update(user, at + rng.between(200, 2000))
            return
        if by_email and rng.chance(0.4):
            self._put_visit(user, at - 8, logs.signed_up)  # API calls are also logged as sign-ups, a little earlier
        self._create(user, at)

    def _create(self, user: _User, at: int) -> None:
        user.profile, user.last, user.alive = self._stamped(user.profile, at), at, True
        date = at + self._dice.between(8, 15)
        log_id = self._log_id(date)
        data = logs.user_created(self._dice, date, log_id, user.profile)
        self._put("create", date, log_id, data, user.id, Change(user.id, moment(at), moment(date), user.profile))

    def _recreate(self, user: _User, at: int) -> None:
        """Create a deleted id again: by another social login, or an import that chose the id."""
        old = user.profile
        kept = {key: old[key] for key in ("user_id", "identities", "email", "phone_number") if key in old}
        user.profile = new_profile(self._dice, user.connection, user.number, at) | kept
        self._create(user, at)

    def _update(self, user: _User, at: int, *, tie: int = 0, late: bool | None = None) -> None:
        """
        Change the user. `tie` is the number of milliseconds between an earlier log of the same `updated_at` and this
        one; 0 if the user has no such log.
        """
        request, profile = changed(self._dice, user.profile, at)
        user.profile = self._stamped(profile, at)
        date = at + (tie or self._dice.between(8, 15))
        user.last = max(date, user.last)
        log_id = self._log_id(date)
        data = logs.user_updated(self._dice, date, log_id, user.profile, request)
        change = Change(user.id, moment(at), moment(date), user.profile)
        self._put("update", date, log_id, data, user.id, change, late=late)

    def _update_burst(self, user: _User, at: int) -> None:
        """Make two or three changes at once, of which the first often arrives last; some share their millisecond."""
        rng = self._dice
        for number in range(rng.between(2, 3)):
            self._update(
                user, at, tie=15 + 5 * number if number else 0, late=True if number == 0 and rng.chance(0.4) else None
            )
            if rng.chance(0.6):
                at += rng.between(16, 3000)

    def _delete(self, user: _User, at: int) -> None:
        rng = self._dice
        if rng.chance(0.35):  # the last change of a user arrives after its deletion
            self._update(user, at, late=True)
            at += rng.between(50, 2000)
        if user.connection is DATABASE:
            self._put_visit(user, at - rng.between(5, 12), logs.deletion_notice)
        date = at + 15
        log_id = self._log_id(date)
        data = logs.user_deleted(rng, date, log_id, user.id)
        self._put("delete", date, log_id, data, user.id, Change(user.id, moment(date), moment(date), None))
        if rng.chance(0.2):  # a change in the very millisecond of the deletion: the deletion wins
            self._update(user, date)
        user.last, user.alive = date + 40, False

    def _login(self, user: _User, at: int) -> None:
        rng = self._dice
        if rng.chance(0.25):
            self._put_login_failure(user, at, known=rng.chance(0.7))
            return
        visit = self._visitor(user)
        user.profile, user.last = logged_in(user.profile, at, visit.ip), at
        log_id = self._log_id(at)
        data = logs.login(rng, at, log_id, visit, user.profile["logins_count"])
        self._put("login", at, log_id, data, user.id)
        if rng.chance(0.5):
            self._put_visit(user, at + rng.between(100, 500), logs.code_exchanged)

    def _put_login_failure(self, user: _User, at: int, *, known: bool) -> None:
        log_id, visit = self._log_id(at), self._visitor(user)
        shape = logs.wrong_password if known else logs.unknown_user
        self._put("login", at, log_id, shape(self._dice, at, log_id, visit), user.id if known else None)

    def _visit(self, user: _User, at: int) -> None:
        shapes = (
            (30, logs.silent_login),
            (30, logs.logged_out),
            (20, logs.code_exchanged),
            (10, logs.password_changed),
        )
        rest = ((5, logs.blocked), (5, logs.joined_organization))
        self._put_visit(user, at, self._dice.weighted((*shapes, *rest)))

    # How it is logged, and how the log arrives

    def _stamped(self, profile: Json, at: int) -> Json:
        short = at % 10 == 0 and self._dice.chance(0.5)
        return profile | {"updated_at": short_timestamp(at) if short else timestamp(at)}

    def _visitor(self, user: _User) -> logs.Visit:
        rng, profile = self._dice, user.profile
        client_id, client_name = rng.pick(logs.APPLICATIONS)
        name = profile.get("email") or profile.get("phone_number") or ""
        return logs.Visit(
            user.id, name, user.connection, logs.ip_address(rng), rng.pick(logs.AGENTS), client_id, client_name
        )

    def _put_visit(self, user: _User, at: int, shape: logs.VisitLog) -> None:
        log_id = self._log_id(at)
        self._put("other", at, log_id, shape(self._dice, at, log_id, self._visitor(user)), user.id)

    def _malformed_due(self) -> bool:
        if not self._malformed_left:
            return False
        done = self._malformed_total - self._malformed_left
        next_at = (done + 1) * self._events // (self._malformed_total + 1)
        return self._planned >= next_at or self._room() <= 0

    def _put_malformed(self) -> None:
        """Put an update with an unreadable time, of a user without other events."""
        rng, at = self._dice, self._now
        number = 90_000_000 + self._malformed_left  # beyond the ordinals of the real users
        profile = new_profile(rng, DATABASE, number, at)
        request, profile = changed(rng, profile, at)
        log_id = self._log_id(at)
        data = logs.user_updated(rng, at, log_id, profile | {"updated_at": "not-a-date"}, request)
        self._malformed_left -= 1
        self._send(Event(_detail(log_id, data), moment(at + 400), "malformed", profile["user_id"]), at + 400)

    def _room(self) -> int:
        return self._events - self._planned - self._malformed_left

    def _put(
        self,
        kind: Kind,
        date: int,
        log_id: str,
        data: Json,
        user_id: str | None,
        change: Change | None = None,
        *,
        late: bool | None = None,
    ) -> None:
        """Send a log once or twice, soon or late. Do nothing if the stream is long enough."""
        if self._room() <= 0:
            return
        rng = self._dice
        late = rng.chance(_LATE) if late is None else late
        arrival = date + (rng.between(5_000, 120_000) if late else rng.between(150, 1200))
        detail = _detail(log_id, data)
        self._send(Event(detail, moment(arrival), kind, user_id, 0, late, change), arrival)
        if rng.chance(_DUPLICATES) and self._room() > 0:
            again = arrival + rng.between(50, 90_000)
            self._send(Event(detail, moment(again), "duplicate", user_id, 1, late, change), again)

    def _send(self, event: Event, arrival: int) -> None:
        self._planned += 1
        heapq.heappush(self._under_way, (arrival, self._planned, event))

    def _log_id(self, date: int) -> str:
        """Return 56 digits: a prefix, a time shortly after the log's date, a shard and a sequence number."""
        rng = self._dice
        written = moment(date + (rng.between(900, 5400) if rng.chance(0.05) else rng.between(10, 900)))
        self._sequence += rng.between(1, 90_000_000)
        stamp = written.strftime("%Y%m%d%H%M%S") + f"{written.microsecond // 1000:03d}"
        return f"900{stamp}{rng.below(1000):03d}000000000000001{223372090000000000 + self._sequence:018d}"


def _detail(log_id: str, data: Json) -> Json:
    return {"log_id": log_id, "data": data}
