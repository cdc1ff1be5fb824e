from collections import Counter
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.auth0 import envelope
from pipeline.auth0.api import Fetched, Gone
from pipeline.auth0.envelope import Deferred, deferral
from pipeline.auth0.errors import Auth0Down, RateLimited, UserIdRefused
from pipeline.auth0.fetcher import Fetcher
from pipeline.auth0.settings import Refresh
from pipeline.auth0.signals import collect, failures
from pipeline.changes import Signal, Snapshot, Tombstone, read
from pipeline.functions import refresh

from .management_api import user
from .support import DYNAMODB, POSTGRES, REFRESH, Sqs, log, login, records, unlink, user_ids

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_user_is_wanted_once_whatever_asks_for_it() -> None:
    again = envelope.signal("auth0|ada", Deferred(1_000, 3))
    bodies = [login(), login("auth0|eve"), again, login()]
    signals = collect(records(bodies, sent_at=5)["Records"])
    assert {user_id: wanted.message_ids for user_id, wanted in signals.users.items()} == {
        "auth0|ada": ["m-0", "m-2", "m-3"],
        "auth0|eve": ["m-1"],
    }
    assert signals.users["auth0|ada"].deferred == Deferred(1_000, 3, ("s", "user.updated"))
    assert signals.users["auth0|eve"].deferred == Deferred(5_000, 0, ("s",))
    assert (signals.coalesced, signals.causes) == (2, {"s": 3, "user.updated": 1})


def test_what_asks_for_nobody_is_counted_and_what_cannot_be_read_fails() -> None:
    bodies = [envelope.updated(user(), NOW), envelope.deleted("auth0|ada", NOW), log({"type": "seacft"}), "{", login()]
    signals = collect(records(bodies)["Records"])
    assert (signals.received, signals.ignored, list(signals.users)) == (5, 3, ["auth0|ada"])
    assert [(failure.message_id, failure.error.reason) for failure in signals.unread] == [("m-3", "NotJson")]


def test_a_deep_message_that_names_the_refresh_takes_no_other_down() -> None:
    nested = login().replace(
        '"detail": {', '"detail": {"x": ' + "[" * 5000 + '"auth0-sync/refresh"' + "]" * 5000 + ", ", 1
    )
    assert "auth0-sync/refresh" in nested
    signals = collect(records([nested, login("auth0|eve")])["Records"])
    assert (list(signals.users), signals.unread) == (["auth0|ada", "auth0|eve"], [])


def test_a_message_of_two_users_fails_once_if_both_do() -> None:
    signals = collect(records([unlink("auth0|ada", "google-oauth2", "115")])["Records"])
    assert list(signals.users) == ["auth0|ada", "google-oauth2|115"]
    failed = failures(signals, {"auth0|ada": UserIdRefused(), "google-oauth2|115": UserIdRefused()})
    assert [failure.message_id for failure in failed] == ["m-0"]


# Any batch, against any answers of Auth0 and of the queues

USERS = ["auth0|ada", "auth0|eve", "google-oauth2|115", "samlp|conn|x", "twitter|7"]
users = st.sampled_from(USERS)
messages = st.one_of(
    users.map(login),
    st.builds(envelope.signal, users, st.builds(Deferred, st.integers(1, 10**12), st.integers(0, 2000))),
    st.builds(unlink, users, st.just("google-oauth2"), st.just("115")),
    st.just(envelope.deleted("auth0|ada", NOW)),
    st.just("not json"),
)
answers = st.sampled_from(["user", "gone", "limited", "long limit", "down", "refused", "another user"])
MAX_AGE = 10**12
UNUSED: Any = None
"""No user is too large for a queue."""


class Api:
    """Answers for each user as told, on a clock that only sleeping moves."""

    def __init__(self, told: dict[str, str]) -> None:
        self.told = told
        self.now = 0.0
        self.answered: Counter[str] = Counter()

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def user(self, user_id: str, deadline: float) -> Fetched | Gone:
        match self.told[user_id]:
            case "limited":
                raise RateLimited(wait=1)
            case "long limit":
                raise RateLimited(wait=600)
            case "down":
                raise Auth0Down
            case "refused":
                raise UserIdRefused
        self.answered[user_id] += 1
        if self.told[user_id] == "gone":
            return Gone(NOW)
        if self.told[user_id] == "another user":
            return Fetched("auth0|primary", user("auth0|primary"), NOW, (user_id,))
        return Fetched(user_id, user(user_id), NOW)


@given(
    bodies=st.lists(messages, max_size=30),
    told=st.fixed_dictionaries(dict.fromkeys(USERS, answers)),
    seconds=st.sampled_from([0.0, 3.0, 1000.0]),
    max_age=st.sampled_from([1, MAX_AGE]),
    queue_fails=st.dictionaries(st.sampled_from([POSTGRES, DYNAMODB, REFRESH]), st.booleans()),
)
def test_every_user_is_fetched_once_and_every_message_has_one_outcome(
    bodies: list[str], told: dict[str, str], seconds: float, max_age: float, queue_fails: dict[str, bool]
) -> None:
    event = records(bodies)["Records"]
    signals = collect(event)
    api, queue = Api(told), Sqs()
    queue.fails = lambda url, entry: ("InternalError", True) if queue_fails.get(url) else None
    config = Refresh(REFRESH, (POSTGRES, DYNAMODB), rate=2, max_age=max_age)
    users = Fetcher(api, 2, lambda: api.now, api.sleep)
    function = refresh.Refresh(config, lambda: users, queue, UNUSED, monotonic=lambda: api.now)  # type: ignore[arg-type]  # stand-ins
    run = refresh.Run(signals, function)
    run.fetch_all(users, seconds)
    run.defer()
    given_back = [failure.message_id for failure in failures(signals, run.failed)]

    wanted = {
        meaning.user_id
        for body in bodies
        if body != "not json"
        for meaning in read(body)
        if isinstance(meaning, Signal)
    }
    assert all(times == 1 for times in api.answered.values())
    outcomes: list[Any] = [run.refreshed, run.gone, run.later, run.failed]
    assert Counter(user_id for outcome in outcomes for user_id in outcome) == Counter(wanted)

    # Given back are exactly the messages of users that failed, and those that cannot be read; each of them once.
    def fails(body: str) -> bool:
        return body == "not json" or any(
            isinstance(meaning, Signal) and meaning.user_id in run.failed for meaning in read(body)
        )

    assert sorted(given_back) == sorted(record["messageId"] for record in event if fails(record["body"]))

    # What was acknowledged is either in both sink queues or back in the refresh queue.
    back = set(user_ids(queue.bodies(REFRESH)))
    assert back == set(run.later)
    for url in (POSTGRES, DYNAMODB):
        sent = [meaning for body in queue.bodies(url) for meaning in read(body)]
        assert run.gone <= {change.user_id for change in sent if isinstance(change, Tombstone)}
        assert {user_id for user_id in run.refreshed if told[user_id] == "user"} <= {
            change.user_id for change in sent if isinstance(change, Snapshot)
        }
    for body in queue.bodies(REFRESH):
        (meaning,) = read(body)
        assert isinstance(meaning, Signal)
        before, after = signals.users[meaning.user_id].deferred, deferral(body)
        assert after == Deferred(before.first_seen, before.times + 1, before.causes)
