import io
import json
import math
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from devstack.traffic import eventbridge
from pipeline import telemetry
from pipeline.auth0 import envelope
from pipeline.auth0.api import ManagementApi as Client
from pipeline.auth0.credentials import credentials
from pipeline.auth0.envelope import Deferred, deferral
from pipeline.auth0.errors import CredentialsRefused
from pipeline.auth0.fetcher import Fetcher
from pipeline.auth0.settings import Auth0, Refresh
from pipeline.changes import Signal, Snapshot, Tombstone, read
from pipeline.functions import refresh
from pipeline.pseudonym import pseudonym

from .management_api import CLIENT_ID, CLIENT_SECRET, DOMAIN, Answer, ManagementApi, error
from .support import DYNAMODB, POSTGRES, REFRESH, Functions, Json, Sqs, log, login, records, unlink, user_ids

RATE = 50


@pytest.fixture
def sqs() -> Sqs:
    return Sqs()


class Handle:
    """The function as it is deployed, but for the queues and the sinks' functions, on the stand-in for Auth0.

    Its settings may change until the first call.
    """

    def __init__(self, auth0: ManagementApi, sqs: Sqs) -> None:
        self.settings = Refresh(REFRESH, (POSTGRES, DYNAMODB), RATE)
        self.secret = CLIENT_SECRET
        self.domain = DOMAIN
        self.functions = Functions()
        self._url, self._sqs = auth0.url, sqs

    def __call__(self, event: Json, seconds: float = 60) -> list[str]:
        """Invoke the function; return the ids that it gives back to SQS."""
        answer = self._refresh(event["Records"], time.monotonic() + seconds - refresh.RESERVE)
        assert set(answer) == {"batchItemFailures"}
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    @cached_property
    def _refresh(self) -> refresh.Refresh:
        sqs: Any = self._sqs

        def functions(seconds: float) -> Any:
            return self.functions

        return refresh.Refresh(
            self.settings, self._connect, sqs, functions, tenant=self._auth0.tenant, sleep=lambda _: None
        )

    @property
    def _auth0(self) -> Auth0:
        return Auth0(self.domain, self._url, CLIENT_ID, self.secret)

    def _connect(self) -> Fetcher:
        return Fetcher(Client(self._auth0, credentials(self._auth0)), self.settings.rate, pause=0.05)


@pytest.fixture
def handle(auth0: ManagementApi, sqs: Sqs) -> Handle:
    return Handle(auth0, sqs)


def deferred(sqs: Sqs) -> dict[str, tuple[int, Deferred]]:
    """Return, by user id, the delay and memory of each signal that went back to the queue."""
    found = {}
    for entry in sqs.entries(REFRESH):
        (signal,) = read(entry["MessageBody"])
        memory = deferral(entry["MessageBody"])
        assert isinstance(signal, Signal)
        assert memory is not None
        assert signal.user_id not in found
        found[signal.user_id] = (entry["DelaySeconds"], memory)
    return found


def metrics(capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    (line,) = lines
    assert line["function"] == "refresh"
    names = ("Refreshed", "Gone", "Doubted", "Deferred", "Coalesced", "Failed", "Ignored")
    assert int(line["Oversized"][0]) == 0
    return {name: int(line[name][0]) for name in names}


def test_users_go_to_every_sink_as_auth0_wrote_them(
    auth0: ManagementApi, sqs: Sqs, handle: Handle, capsys: pytest.CaptureFixture[str]
) -> None:
    bodies = {user_id: auth0.add(user_id) for user_id in ("auth0|ada", "samlp|conn|a/b c")}
    event = records([login("auth0|ada"), login("samlp|conn|a/b c"), login("auth0|ada"), login("auth0|nobody")])
    assert handle(event) == []
    assert sorted(auth0.asked()) == ["auth0|ada", "auth0|nobody", "samlp|conn|a/b c"]
    for url in (POSTGRES, DYNAMODB):
        changes = [change for body in sqs.bodies(url) for change in read(body)]
        assert {c.user_id: bytes(c.profile) for c in changes if isinstance(c, Snapshot)} == bodies
        (gone,) = (change for change in changes if isinstance(change, Tombstone))
        assert gone.user_id == "auth0|nobody"
    assert sqs.bodies(POSTGRES) == sqs.bodies(DYNAMODB)
    assert metrics(capsys) == {
        "Refreshed": 2,
        "Gone": 1,
        "Doubted": 0,
        "Deferred": 0,
        "Coalesced": 1,
        "Failed": 0,
        "Ignored": 0,
    }


def test_an_answer_about_another_user_is_that_users_and_ends_the_linked_one(
    auth0: ManagementApi, sqs: Sqs, handle: Handle
) -> None:
    identities = [{"provider": "auth0", "user_id": "ada"}, {"provider": "google-oauth2", "user_id": "115"}]
    auth0.users["google-oauth2|115"] = auth0.users["ada"] = auth0.add("auth0|ada", identities=identities)
    assert handle(records([login("google-oauth2|115"), login("ada")])) == []
    kinds = [type(change) for body in sqs.bodies(POSTGRES) for change in read(body)]
    assert list(zip(kinds, user_ids(sqs.bodies(POSTGRES)), strict=True)) == [
        (Snapshot, "auth0|ada"),
        (Tombstone, "google-oauth2|115"),
        (Snapshot, "auth0|ada"),
    ]


def test_both_sides_of_an_unlink_are_fetched(auth0: ManagementApi, sqs: Sqs, handle: Handle) -> None:
    auth0.add("auth0|ada")
    auth0.add("google-oauth2|115")
    assert handle(records([unlink("auth0|ada", "google-oauth2", "115")])) == []
    assert auth0.asked() == ["auth0|ada", "google-oauth2|115"]
    assert len(sqs.bodies(POSTGRES)) == 2


def test_the_rate_is_kept_from_one_batch_to_the_next(auth0: ManagementApi, handle: Handle) -> None:
    handle.settings = replace(handle.settings, rate=20)
    for start in (0, 5):
        handle(records([login(f"auth0|{number}") for number in range(start, start + 5)]))
    assert len(auth0.requests) == 10
    times = [request.at for request in auth0.requests]
    assert times[-1] - times[0] >= 9 / 20 - 0.05
    assert max(sum(start <= at < start + 0.25 for at in times) for start in times) <= 6


def test_a_long_limit_sends_signals_back_and_acknowledges_the_messages(
    auth0: ManagementApi, sqs: Sqs, handle: Handle, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        auth0.add(f"auth0|{number}")
    auth0.next_answers += [Answer(200, auth0.users["auth0|0"]), Answer(429, headers={"Retry-After": "120"})]
    sent = time.time() - 1000
    event = records([login(f"auth0|{number}") for number in (0, 1, 2, 3, 1)], sent_at=sent)
    assert handle(event) == []
    assert auth0.asked() == ["auth0|0", "auth0|1"]
    back = deferred(sqs)
    assert set(back) == {"auth0|1", "auth0|2", "auth0|3"}
    assert {memory for _, memory in back.values()} == {Deferred(int(sent * 1000), 1, ("s",))}
    assert all(119 <= delay <= 121 for delay, _ in back.values())
    assert metrics(capsys) == {
        "Refreshed": 1,
        "Gone": 0,
        "Doubted": 0,
        "Deferred": 3,
        "Coalesced": 1,
        "Failed": 0,
        "Ignored": 0,
    }

    # The next batch knows of the limit and does not ask.
    assert handle(records([login("auth0|9")])) == []
    assert len(auth0.requests) == 2
    assert 110 <= deferred(sqs)["auth0|9"][0] <= 120


def test_function_waits_for_a_near_reset_time(auth0: ManagementApi, sqs: Sqs, handle: Handle) -> None:
    auth0.add("auth0|ada")
    reset = math.ceil(time.time() + 1.2)
    auth0.next_answers.append(Answer(429, headers={"X-RateLimit-Reset": str(reset)}))
    assert handle(records([login()])) == []
    assert time.time() >= reset
    assert [request.status for request in auth0.requests] == [429, 200]
    assert len(sqs.bodies(POSTGRES)) == 1


def test_function_copes_with_a_limit_like_auth0s(auth0: ManagementApi, sqs: Sqs, handle: Handle) -> None:
    auth0.burst = (1.0, 2)
    for number in range(6):
        auth0.add(f"auth0|{number}")
    assert handle(records([login(f"auth0|{number}") for number in range(6)])) == []
    done = set(user_ids(sqs.bodies(POSTGRES)))
    assert done | set(deferred(sqs)) == {f"auth0|{number}" for number in range(6)}
    assert len(done) >= 4


def test_each_deferral_waits_longer_up_to_what_sqs_can_delay(auth0: ManagementApi, sqs: Sqs, handle: Handle) -> None:
    auth0.next_answers.append(Answer(429, headers={"Retry-After": "11"}))
    now = int(time.time() * 1000)
    bodies = [envelope.signal(f"auth0|{times}", Deferred(now, times)) for times in (0, 3, 6, 9, 12, 60)]
    assert handle(records(bodies)) == []
    delays = {memory.times: delay for delay, memory in deferred(sqs).values()}
    assert delays == {1: 11, 4: 12, 7: 65, 10: 513, 13: 900, 61: 900}


def test_an_outage_is_tried_three_times_for_two_users_and_then_waited_out(
    auth0: ManagementApi, sqs: Sqs, handle: Handle, capsys: pytest.CaptureFixture[str]
) -> None:
    auth0.next_answers += [Answer(503)] * 100
    assert handle(records([login(f"auth0|{number}") for number in range(5)])) == []
    assert auth0.asked() == ["auth0|0"] * 3 + ["auth0|1"] * 3
    back = deferred(sqs)
    assert len(back) == 5
    assert all(30 <= delay <= 31 for delay, _ in back.values())
    assert metrics(capsys)["Deferred"] == 5


def test_users_that_auth0_cannot_answer_do_not_hold_up_others(auth0: ManagementApi, sqs: Sqs, handle: Handle) -> None:
    broken = ["auth0|broken", "auth0|defect"]
    auth0.always |= dict.fromkeys(broken, Answer(500))
    users = [f"auth0|{number}" for number in range(4)]
    for user_id in users:
        auth0.add(user_id)
    order = [users[0], broken[0], users[1], broken[1], *users[2:]]
    assert handle(records([login(user_id) for user_id in order])) == []
    assert user_ids(sqs.bodies(POSTGRES)) == users
    assert set(deferred(sqs)) == set(broken)


def test_the_function_stops_before_its_time_ends_and_sends_the_rest_back(
    auth0: ManagementApi, sqs: Sqs, handle: Handle
) -> None:
    for number in range(10):
        auth0.always[f"auth0|{number}"] = Answer(200, auth0.add(f"auth0|{number}"), seconds=0.4)
    begun = time.monotonic()
    assert handle(records([login(f"auth0|{number}") for number in range(10)]), seconds=refresh.RESERVE + 2) == []
    assert time.monotonic() - begun < 2.5
    done = set(user_ids(sqs.bodies(POSTGRES)))
    assert 2 <= len(done) <= 4
    assert set(deferred(sqs)) == {f"auth0|{number}" for number in range(10)} - done
    assert all(delay <= 2 for delay, _ in deferred(sqs).values())


def test_a_function_without_time_asks_for_nothing(auth0: ManagementApi, sqs: Sqs, handle: Handle) -> None:
    assert handle(records([login()]), seconds=refresh.RESERVE / 2) == []
    assert auth0.requests == []
    assert set(deferred(sqs)) == {"auth0|ada"}


def test_a_signal_that_was_deferred_for_too_long_fails(
    auth0: ManagementApi, sqs: Sqs, handle: Handle, capsys: pytest.CaptureFixture[str]
) -> None:
    auth0.next_answers.append(Answer(429, headers={"Retry-After": "120"}))
    old = int((time.time() - 4 * 24 * 3600 - 60) * 1000)
    bodies = [envelope.signal("auth0|old", Deferred(old, 400)), login("auth0|new")]
    assert handle(records(bodies)) == ["m-0"]
    assert set(deferred(sqs)) == {"auth0|new"}
    counted = metrics(capsys)
    assert (counted["Failed"], counted["Deferred"]) == (1, 1)


def test_an_old_signal_is_fetched_all_the_same(auth0: ManagementApi, sqs: Sqs, handle: Handle) -> None:
    auth0.add("auth0|old")
    assert handle(records([envelope.signal("auth0|old", Deferred(1, 400))])) == []
    assert len(sqs.bodies(POSTGRES)) == 1


def test_a_signal_that_cannot_be_sent_back_fails(auth0: ManagementApi, sqs: Sqs, handle: Handle) -> None:
    auth0.next_answers.append(Answer(429, headers={"Retry-After": "120"}))
    sqs.fails = lambda url, entry: ("InternalError", False) if url == REFRESH else None
    assert handle(records([login(), login()])) == ["m-0", "m-1"]
    assert len(sqs.batches[REFRESH]) == 3


def test_a_sink_queue_that_does_not_take_a_user_fails_that_user_only(
    auth0: ManagementApi, sqs: Sqs, handle: Handle, capsys: pytest.CaptureFixture[str]
) -> None:
    auth0.add("auth0|ada")
    auth0.add("auth0|eve")
    sqs.fails = lambda url, entry: (
        ("InternalError", False) if url == DYNAMODB and "auth0|ada" in entry["MessageBody"] else None
    )
    assert handle(records([login("auth0|ada"), login("auth0|eve")])) == ["m-0"]
    assert len(sqs.bodies(POSTGRES)) == 2
    assert len(sqs.bodies(DYNAMODB)) == 1
    counted = metrics(capsys)
    assert (counted["Refreshed"], counted["Failed"]) == (1, 1)


def test_large_users_are_sent_within_the_limit_of_a_batch(auth0: ManagementApi, sqs: Sqs, handle: Handle) -> None:
    for number in range(10):
        auth0.add(f"auth0|{number}", app_metadata={"x": "y" * 120_000})
    assert handle(records([login(f"auth0|{number}") for number in range(10)])) == []
    assert [len(batch) for batch in sqs.batches[POSTGRES]] == [8, 2]


TOO_LARGE = ("InvalidParameterValue", True)


@pytest.fixture
def functions(sqs: Sqs, handle: Handle) -> Functions:
    """Return the sinks' functions, and queues that take at most 256 KiB; of DynamoDB's any size."""
    handle.settings = replace(handle.settings, sink_functions=("sync-postgres", "sync-dynamodb"))
    sqs.fails = lambda url, entry: TOO_LARGE if url == POSTGRES and len(entry["MessageBody"]) > 262_144 else None
    return handle.functions


def oversized(capsys: pytest.CaptureFixture[str]) -> tuple[int, int, int]:
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    return line["Refreshed"][0], line["Failed"][0], line["Oversized"][0]


def test_a_user_too_large_for_a_queue_goes_straight_to_its_function(
    auth0: ManagementApi, sqs: Sqs, handle: Handle, functions: Functions, capsys: pytest.CaptureFixture[str]
) -> None:
    large = auth0.add("auth0|large", user_metadata={"x": "y" * 300_000})
    auth0.add("auth0|ada")
    assert handle(records([login("auth0|large"), login("auth0|ada")])) == []
    ((body,),) = functions.bodies.values()
    assert list(functions.bodies) == ["sync-postgres"]
    (change,) = read(body)
    assert isinstance(change, Snapshot)
    assert bytes(change.profile) == large
    assert (len(sqs.bodies(POSTGRES)), len(sqs.bodies(DYNAMODB))) == (1, 2)
    assert oversized(capsys) == (2, 0, 1)


REFUSALS: dict[str, Json | Exception] = {
    "not stored": {"Payload": io.BytesIO(b'{"batchItemFailures": [{"itemIdentifier": "x"}]}')},
    "store down": {"FunctionError": "Unhandled"},
    "throttled": ClientError({"Error": {"Code": "TooManyRequestsException"}}, "Invoke"),
    "too large for it as well": ClientError({"Error": {"Code": "RequestTooLargeException"}}, "Invoke"),
    "no answer": ReadTimeoutError(endpoint_url="https://lambda"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_user_whom_the_function_does_not_store_fails_alone(
    auth0: ManagementApi,
    sqs: Sqs,
    handle: Handle,
    functions: Functions,
    capsys: pytest.CaptureFixture[str],
    refusal: str,
) -> None:
    auth0.add("auth0|large", user_metadata={"x": "y" * 300_000})
    auth0.add("auth0|ada")
    functions.answer = REFUSALS[refusal]
    assert handle(records([login("auth0|large"), login("auth0|ada")])) == ["m-0"]
    assert oversized(capsys) == (1, 1, 1)


def test_a_user_is_not_handed_over_at_the_end_of_the_functions_time(
    auth0: ManagementApi, sqs: Sqs, handle: Handle, functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = auth0.add("auth0|large", user_metadata={"x": "y" * 300_000})
    auth0.always["auth0|large"] = Answer(200, large, seconds=0.5)
    monkeypatch.setattr("pipeline.delivery.function.LEAST", refresh.RESERVE + 1)
    assert handle(records([login("auth0|large")]), seconds=refresh.RESERVE + 2) == ["m-0"]
    assert functions.bodies == {}


def test_unreadable_message_fails_alone(auth0: ManagementApi, sqs: Sqs, handle: Handle) -> None:
    auth0.add("auth0|ada")
    auth0.always["bare"] = Answer(400, error(400, "Bad Request", "invalid_uri"))
    assert sorted(handle(records(["{", login(), login("bare")]))) == ["m-0", "m-2"]
    assert len(sqs.bodies(POSTGRES)) == 1


def test_messages_that_name_no_user_to_fetch_are_counted(
    auth0: ManagementApi, sqs: Sqs, handle: Handle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert handle(records([envelope.updated(auth0.add("auth0|ada"), datetime.now(UTC))])) == []
    assert (auth0.requests, sqs.batches) == ([], {})
    assert metrics(capsys)["Ignored"] == 1


def test_refused_credentials_raise_and_a_rotated_secret_is_read_at_the_next_delivery(
    auth0: ManagementApi, sqs: Sqs, handle: Handle
) -> None:
    auth0.add("auth0|ada")
    auth0.secret = "rotated"
    with pytest.raises(CredentialsRefused, match="check the application's id and secret"):
        handle(records([login()]))
    assert sqs.batches == {}
    handle.secret = "rotated"
    assert handle(records([login()])) == []
    assert len(sqs.bodies(POSTGRES)) == 1


def test_logs_and_metrics_hold_no_personal_data_and_no_secret(
    auth0: ManagementApi, sqs: Sqs, handle: Handle, capsys: pytest.CaptureFixture[str]
) -> None:
    auth0.add("auth0|grace-hopper")
    auth0.always["auth0|broken-hopper"] = Answer(500, error(500, "Internal Server Error of auth0|broken-hopper"))
    auth0.always["odd-hopper"] = Answer(400, error(400, "Bad Request of odd-hopper", "invalid_uri"))
    written = io.StringIO()
    handler = telemetry.handler
    before = handler.setStream(written)
    try:
        bodies = [login(f"{name}-hopper") for name in ("auth0|grace", "auth0|broken", "odd", "auth0|gone")]
        assert handle(records([*bodies, "{hopper"])) == ["m-4", "m-2"]
        auth0.secret = "rotated"
        auth0.tokens.clear()
        with pytest.raises(CredentialsRefused):
            handle(records(bodies))
    finally:
        handler.setStream(before)
    text = written.getvalue() + capsys.readouterr().out
    assert text.count('"message not refreshed"') == 2
    assert '"batch not fetched"' in text
    assert pseudonym("odd-hopper") in text
    for private in ("hopper", "ada@acme.example", CLIENT_SECRET, "token-", "Bearer", "rotated"):
        assert private not in text


# A tenant that is not that of the events


def signups(first: int, number: int, prefix: str = "auth0|new") -> list[str]:
    return [log({"type": "ss", "user_id": f"{prefix}-{one}"}) for one in range(first, first + number)]


def test_a_tenant_that_knows_nobody_deletes_nobody(
    auth0: ManagementApi, sqs: Sqs, handle: Handle, capsys: pytest.CaptureFixture[str]
) -> None:
    """The domain and the secret of another tenant fit each other; each request is answered with "no such user"."""
    assert handle(records([login(f"auth0|{number}") for number in range(3)])) == []
    assert sqs.bodies(POSTGRES) == sqs.bodies(DYNAMODB) == []
    counted = metrics(capsys)
    assert (counted["Gone"], counted["Doubted"], counted["Deferred"]) == (0, 3, 3)
    # Nor those that come alone, of which the deferred signals are many.
    for body in sqs.bodies(REFRESH):
        assert handle(records([body])) == []
    assert sqs.bodies(POSTGRES) == []


def test_deletions_are_believed_once_auth0_knows_a_user(auth0: ManagementApi, sqs: Sqs, handle: Handle) -> None:
    bodies = [login(f"auth0|{number}") for number in range(3)]
    assert handle(records(bodies)) == []
    auth0.add("auth0|ada")
    assert handle(records([*bodies, login("auth0|ada")])) == []
    gone = {change.user_id for body in sqs.bodies(POSTGRES) for change in read(body) if isinstance(change, Tombstone)}
    assert gone == {"auth0|0", "auth0|1", "auth0|2"}
    assert handle(records([login("auth0|8"), login("auth0|9")])) == []
    assert len(sqs.bodies(POSTGRES)) == 6


def test_deletions_that_the_signals_themselves_report_are_not_doubted(
    auth0: ManagementApi, sqs: Sqs, handle: Handle
) -> None:
    deletions = [log({"type": "sdu", "description": f"user_id: {number}"}) for number in range(3)]
    assert handle(records(deletions)) == []
    assert set(user_ids(sqs.bodies(POSTGRES))) == {"auth0|0", "auth0|1", "auth0|2"}


def test_a_tenant_that_knows_nobody_gives_up_in_the_dead_letter_queue(
    auth0: ManagementApi, sqs: Sqs, handle: Handle
) -> None:
    handle.settings = replace(handle.settings, max_age=60)
    assert handle(records([login("auth0|1"), login("auth0|2")], sent_at=time.time() - 120)) == ["m-0", "m-1"]
    assert sqs.batches == {}


@pytest.mark.parametrize(
    "event",
    [
        {"log_id": "1", "data": {"type": "s", "user_id": "auth0|ada", "tenant_name": "acme-staging"}},
        {"type": "user.updated", "id": "e", "a0tenant": "acme-staging", "data": {"object": {"user_id": "auth0|ada"}}},
    ],
)
def test_an_event_of_another_tenant_than_the_one_that_is_asked_fetches_nobody(
    auth0: ManagementApi, sqs: Sqs, handle: Handle, event: Json
) -> None:
    auth0.add("auth0|ada")
    body = json.dumps(eventbridge(event, event_id="e", time="2023-07-11T16:30:54Z"))
    assert handle(records([body])) == ["m-0"]
    assert (auth0.requests, sqs.batches) == ([], {})
    assert handle(records([body.replace("acme-staging", "acme")])) == []
    assert auth0.asked() == ["auth0|ada"]


# Floods


def test_flood_of_sign_ups_does_not_delay_other_changes(auth0: ManagementApi, sqs: Sqs, handle: Handle) -> None:
    """A thousand new users at ten requests a second would take 100 seconds; the password changes are behind them."""
    handle.settings = replace(handle.settings, rate=10)
    changed = [f"auth0|changed-{number}" for number in range(3)]
    for user_id in changed:
        auth0.add(user_id)
    flood = signups(0, 1000)
    passwords = [log({"type": "scp", "user_id": user_id}) for user_id in changed]
    auth0.add("auth0|new-0")
    begun = time.monotonic()
    assert handle(records([*flood, *passwords]), seconds=refresh.RESERVE + 2) == []
    assert time.monotonic() - begun < 4
    assert set(changed) < set(auth0.asked())
    assert len(auth0.asked()) < 30
    assert set(deferred(sqs)) == {f"auth0|new-{number}" for number in range(1000)} - set(auth0.asked())


def test_a_deferred_sign_up_is_still_one_of_the_flood(auth0: ManagementApi, sqs: Sqs, handle: Handle) -> None:
    handle.settings = replace(handle.settings, rate=2)
    auth0.add("auth0|ada")
    assert handle(records(signups(0, 20)), seconds=refresh.RESERVE / 2) == []
    back = sqs.bodies(REFRESH)
    assert len(back) == 20
    assert handle(records([*back, log({"type": "scp", "user_id": "auth0|ada"})]), seconds=refresh.RESERVE + 2) == []
    assert "auth0|ada" in auth0.asked()[:2]


def test_a_signal_from_before_the_users_last_fetch_asks_for_nothing(
    auth0: ManagementApi, sqs: Sqs, handle: Handle, capsys: pytest.CaptureFixture[str]
) -> None:
    auth0.add("auth0|ada")
    before = time.time() - refresh.LEEWAY - 1
    assert handle(records([login()], sent_at=before)) == []
    capsys.readouterr()
    assert handle(records([login(), login()], sent_at=before)) == []
    assert metrics(capsys)["Coalesced"] == 2
    assert (auth0.asked(), len(sqs.bodies(POSTGRES))) == (["auth0|ada"], 1)
    # A signal that may be newer than the answer asks again.
    assert handle(records([login()], sent_at=time.time() - refresh.LEEWAY / 2)) == []
    assert handle(records([login(), envelope.signal("auth0|ada", Deferred(1))])) == []
    assert len(auth0.asked()) == 3


def test_a_fetch_that_a_sink_does_not_have_satisfies_no_signal(auth0: ManagementApi, sqs: Sqs, handle: Handle) -> None:
    auth0.add("auth0|ada")
    before = time.time() - refresh.LEEWAY - 1
    sqs.fails = lambda url, entry: ("InternalError", False) if url == DYNAMODB else None
    assert handle(records([login()], sent_at=before)) == ["m-0"]
    sqs.fails = lambda url, entry: None
    assert handle(records([login()], sent_at=before)) == []
    assert len(auth0.asked()) == 2
    assert len(sqs.bodies(DYNAMODB)) == 1
