"""Streams by the Management API: found or created once, stopped and started, with Auth0's limits and refusals."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest
from auth0.management import ManagementClient
from auth0.management.types import (
    CreateEventStreamEventBridgeRequestContent,
    CreateLogStreamEventBridgeRequestBody,
)

from pipeline.auth0.credentials import Credentials
from pipeline.auth0.management import Management, MissingScopes, Refused, Unanswered
from pipeline.auth0.settings import Auth0
from pipeline.auth0.streams import (
    SUBSCRIPTIONS,
    Stream,
    Streams,
    Unavailable,
    WrongStream,
    require_source,
    scopes,
)

from .management_api import CLIENT_ID, CLIENT_SECRET, DOMAIN, Answer, error
from .management_api import ManagementApi as Server
from .streams_api import SCOPES, stream

HERE = ("123456789012", "eu-central-1")
NAME = "auth0-sync-acme"
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


class Waits:
    """A clock that does not wait, and notes the seconds of each wait."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.told: list[str] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


def management(auth0: Server, waits: Waits, secret: str = CLIENT_SECRET, seconds: float = 60) -> Management:
    settings = Auth0(domain=DOMAIN, base_url=auth0.url)
    return Management(
        settings, Credentials(CLIENT_ID, secret), seconds=seconds, sleep=waits.sleep, tell=waits.told.append
    )


@pytest.fixture
def streams(auth0: Server, waits: Waits) -> Streams:
    return Streams(management(auth0, waits), now=lambda: NOW, sleep=waits.sleep)


class TestManagement:
    def test_missing_scopes_are_named_before_anything_is_done(self, auth0: Server, waits: Waits) -> None:
        auth0.scopes = {"read:users", "read:log_streams"}
        with pytest.raises(MissingScopes, match=r"create:log_streams, update:log_streams\. Add them in Auth0's dash"):
            management(auth0, waits).require(scopes("log"))
        assert auth0.requests == []

    def test_the_scopes_are_those_that_auth0_asks_for(self, auth0: Server, waits: Waits) -> None:
        assert {*scopes("log", "event")} == SCOPES
        management(auth0, waits).require(scopes("log", "event"))

    def test_a_token_that_names_no_scopes_is_tried(self, auth0: Server, waits: Waits) -> None:
        auth0.next_tokens.append(Answer(200, b'{"access_token":"token","expires_in":86400}'))
        management(auth0, waits).require(scopes("log"))

    def test_a_scope_that_is_found_missing_later_is_named(self, auth0: Server, waits: Waits) -> None:
        api = management(auth0, waits)
        api.require(scopes("log"))
        auth0.scopes.remove("create:log_streams")
        with pytest.raises(MissingScopes, match="expected any of: create:log_streams"):
            api.post("log-streams", {})

    def test_wrong_credentials_say_what_to_check_and_hold_no_secret(self, auth0: Server, waits: Waits) -> None:
        with pytest.raises(Refused, match=r"acme\.eu\.auth0\.com refused the credentials \(401\)\. Check") as caught:
            management(auth0, waits, "wrong-secret").get("log-streams")
        assert "wrong-secret" not in str(caught.value)
        assert waits.slept == []

    def test_an_application_without_a_grant_says_where_to_authorize_it(self, auth0: Server, waits: Waits) -> None:
        auth0.next_tokens.append(Answer(403, b'{"error":"access_denied"}'))
        with pytest.raises(Refused, match=r"authorize it in Auth0's dashboard: Applications, APIs"):
            management(auth0, waits).get("log-streams")

    def test_a_rate_limit_is_waited_for(self, auth0: Server, waits: Waits) -> None:
        auth0.next_tokens.append(Answer(429, headers={"Retry-After": "7"}))
        auth0.next_answers.append(Answer(429, headers={"Retry-After": "9"}))
        assert management(auth0, waits).get("log-streams") == []
        assert waits.slept == [7, 9]
        assert waits.told[0] == "acme.eu.auth0.com has reached its rate limit; next try in 7 s"

    def test_a_rate_limit_that_takes_longer_is_a_message(self, auth0: Server, waits: Waits) -> None:
        auth0.next_answers.append(Answer(429, headers={"Retry-After": "600"}))
        with pytest.raises(Unanswered, match=r"reached its rate limit\. Run this again in 600 seconds"):
            management(auth0, waits).get("log-streams")
        assert waits.slept == []

    def test_auth0s_own_limit_holds_for_the_whole_work(self, auth0: Server) -> None:
        auth0.burst = (0.5, 2)
        api = Management(Auth0(DOMAIN, auth0.url), Credentials(CLIENT_ID, CLIENT_SECRET))
        for _ in range(4):
            api.get("log-streams")
        assert [request.status for request in auth0.requests].count(200) == 4
        assert 429 in [request.status for request in auth0.requests]

    def test_an_outage_is_tried_again_with_growing_pauses(self, auth0: Server, waits: Waits) -> None:
        auth0.next_answers += [Answer(503, error(503, "Service Unavailable")), Answer(500, b"oops")]
        assert management(auth0, waits).get("log-streams") == []
        assert waits.slept == [1, 2]

    def test_an_outage_that_lasts_is_a_message(self, auth0: Server, waits: Waits) -> None:
        auth0.next_answers += [Answer(503)] * 9
        with pytest.raises(Unanswered, match=r"GET /api/v2/log-streams: acme\.eu\.auth0\.com does not answer \(503\)"):
            management(auth0, waits).get("log-streams")
        assert waits.slept == [1, 2, 4]

    def test_a_slow_answer_ends(self, auth0: Server, waits: Waits) -> None:
        auth0.next_answers.append(Answer(200, seconds=2))
        begun = time.monotonic()
        with pytest.raises(Unanswered, match="ReadTimeoutError"):
            management(auth0, waits, seconds=0.4).get("log-streams")
        assert time.monotonic() - begun < 1.9

    @pytest.mark.parametrize("body", [b"<html>", b"", b"[" * 100_000])
    def test_an_answer_that_is_not_json_is_a_message(self, auth0: Server, waits: Waits, body: bytes) -> None:
        auth0.next_answers.append(Answer(200, body))
        with pytest.raises(Unanswered, match="not JSON"):
            management(auth0, waits).get("log-streams")

    @pytest.mark.parametrize("body", [b"<html>", b"", b"[" * 100_000, b'{"message": 7}'])
    def test_a_refusal_without_words_is_a_message(self, auth0: Server, waits: Waits, body: bytes) -> None:
        auth0.next_answers.append(Answer(404, body))
        with pytest.raises(Refused, match=r"GET /api/v2/log-streams: 404"):
            management(auth0, waits).get("log-streams")


class TestCreate:
    def test_a_log_stream_begins_as_early_as_the_plan_keeps_logs(self, auth0: Server, streams: Streams) -> None:
        made, begin = streams.create_log_stream(NAME, *HERE, days=30)
        assert (made.kind, made.name, made.status, made.account, made.region) == ("log", NAME, "active", *HERE)
        assert begin == NOW - timedelta(days=30) + timedelta(minutes=5)
        [(_, _, body)] = auth0.streams.writes
        assert body["startFrom"] == "2026-10-27T12:05:00.000Z"

    @pytest.mark.parametrize(("plan", "begins"), [(1, 4), (10, 2), (30, 1)])
    def test_a_shorter_retention_is_found_by_asking(self, auth0: Server, waits: Waits, plan: int, begins: int) -> None:
        auth0.streams.retention = timedelta(days=plan)
        _, begin = Streams(management(auth0, waits)).create_log_stream(NAME, *HERE, days=30)
        assert begin is not None
        assert timedelta(days=plan) - timedelta(minutes=6) < datetime.now(UTC) - begin < timedelta(days=plan)
        assert len(auth0.streams.writes) == begins
        assert len(auth0.streams.log) == 1

    def test_a_start_that_auth0_never_takes_is_left_out(self, auth0: Server, waits: Waits) -> None:
        auth0.streams.retention = timedelta(0)
        _, begin = Streams(management(auth0, waits)).create_log_stream(NAME, *HERE, days=30)
        assert begin is None
        assert "startFrom" not in auth0.streams.writes[-1][2]

    @pytest.mark.parametrize(("days", "begins"), [(0, [None]), (3, ["2026-11-23", "2026-11-25", None])])
    def test_fewer_days_are_the_persons_choice(
        self, auth0: Server, streams: Streams, days: int, begins: list[str | None]
    ) -> None:
        auth0.streams.most["log"] = 0
        auth0.streams.retention = timedelta(0)
        with pytest.raises(Refused):
            streams.create_log_stream(NAME, *HERE, days=days)
        asked = [body.get("startFrom", "")[:10] or None for _, _, body in auth0.streams.writes]
        assert asked == begins

    def test_an_event_stream_begins_disabled(self, auth0: Server, streams: Streams) -> None:
        made = streams.create_event_stream(NAME, *HERE)
        assert (made.kind, made.status, made.runs, made.warnings) == ("event", "disabled", False, ())
        assert made.source.endswith("/auth0.events")
        assert [each["event_type"] for each in auth0.streams.event[0]["subscriptions"]] == [*SUBSCRIPTIONS]

    def test_a_region_that_auth0_lacks_is_a_message(self, streams: Streams) -> None:
        with pytest.raises(Refused, match="No enum match for: eu-nowhere-1"):
            streams.create_log_stream(NAME, HERE[0], "eu-nowhere-1", days=0)
        with pytest.raises(Refused, match="No enum match for: eu-nowhere-1"):
            streams.create_event_stream(NAME, HERE[0], "eu-nowhere-1")

    def test_one_too_many_names_those_that_can_be_used(self, auth0: Server, streams: Streams) -> None:
        auth0.streams.log += [stream("log", "first", *HERE), stream("log", "second", *HERE)]
        with pytest.raises(Refused, match=r"--log-stream with its name \('first', 'second'\)"):
            streams.create_log_stream(NAME, *HERE, days=30)
        assert len(auth0.streams.writes) == 1

    @pytest.mark.parametrize("why", ["plan", "limit"])
    def test_a_tenant_without_room_for_an_event_stream_says_so(self, auth0: Server, streams: Streams, why: str) -> None:
        auth0.streams.has_event_streams = why != "plan"
        auth0.streams.most["event"] = 0
        with pytest.raises(Unavailable, match=r"403 (This feature is not enabled|You have reached)"):
            streams.create_event_stream(NAME, *HERE)

    def test_missing_scopes_are_no_missing_feature(self, auth0: Server, streams: Streams) -> None:
        auth0.scopes.remove("read:event_streams")
        with pytest.raises(MissingScopes):
            streams.all("event")

    @pytest.mark.parametrize("lost", [Answer(503), Answer(502, b"<html>"), Answer(200, b"<html>")])
    def test_a_lost_answer_creates_no_second_stream(
        self, auth0: Server, streams: Streams, waits: Waits, lost: Answer
    ) -> None:
        auth0.lost_answers.append(lost)
        found, made = streams.once(
            lambda: streams.find("event", NAME, *HERE), lambda: streams.create_event_stream(NAME, *HERE)
        )
        assert made
        assert len(auth0.streams.event) == 1
        assert found.id == auth0.streams.event[0]["id"]

    def test_an_outage_ends_the_tries_to_create(self, auth0: Server, streams: Streams) -> None:
        def fails() -> Stream:
            raise Unanswered("no answer")

        with pytest.raises(Unanswered, match="no answer"):
            streams.once(lambda: streams.find("event", NAME, *HERE), fails)


class TestFind:
    @pytest.mark.parametrize("kind", ["log", "event"])
    def test_a_stream_is_found_by_its_name(self, auth0: Server, streams: Streams, kind: Any) -> None:
        kept = auth0.streams.log if kind == "log" else auth0.streams.event
        assert streams.find(kind, NAME, *HERE) is None
        kept += [stream(kind, "other", *HERE), stream(kind, NAME, *HERE)]
        found = streams.find(kind, NAME, *HERE)
        assert found is not None
        assert found.id == kept[1]["id"]
        assert found.runs
        require_source(found)
        assert auth0.streams.writes == []

    @pytest.mark.parametrize("other", [("999999999999", HERE[1]), (HERE[0], "us-east-1")])
    def test_one_to_another_place_is_refused(self, auth0: Server, streams: Streams, other: tuple[str, str]) -> None:
        auth0.streams.log.append(stream("log", NAME, *other))
        with pytest.raises(
            WrongStream, match=rf"goes to account {other[0]}, region {other[1]}, not to account {HERE[0]}"
        ):
            streams.find("log", NAME, *HERE)

    def test_two_of_one_name_are_refused(self, auth0: Server, streams: Streams) -> None:
        auth0.streams.log += [stream("log", NAME, *HERE), stream("log", NAME, *HERE)]
        with pytest.raises(WrongStream, match="2 Log Streams with the name"):
            streams.find("log", NAME, *HERE)

    def test_streams_to_elsewhere_are_left_alone(self, auth0: Server, streams: Streams) -> None:
        auth0.streams.log += [
            {"id": "lst_1", "name": NAME, "type": "http", "status": "active", "sink": {"httpEndpoint": "https://x"}},
            {"id": "lst_2", "name": NAME, "type": "eventbridge", "status": "active", "sink": {}},
            {"odd": True},
        ]
        auth0.streams.event.append(
            {"id": "est_1", "name": NAME, "status": "enabled", "destination": {"type": "webhook"}}
        )
        assert streams.all("log") == streams.all("event") == []

    @pytest.mark.parametrize("kind", ["log", "event"])
    @pytest.mark.parametrize("body", [b"7", b'"x"', b"null", b'{"eventStreams": 7}', b"{}"])
    def test_an_answer_that_is_no_list_is_a_message(
        self, auth0: Server, streams: Streams, kind: Any, body: bytes
    ) -> None:
        auth0.next_answers.append(Answer(200, body))
        with pytest.raises(Unanswered, match="no list"):
            streams.all(kind)

    def test_every_page_of_event_streams_is_read(self, auth0: Server, streams: Streams) -> None:
        auth0.streams.page = 2
        auth0.streams.event += [stream("event", f"s{number}", *HERE) for number in range(5)]
        assert [each.name for each in streams.all("event")] == ["s0", "s1", "s2", "s3", "s4"]

    def test_what_a_stream_leaves_out_is_a_warning(self, auth0: Server, streams: Streams) -> None:
        masks = {"log_fields": ["email"], "method": "mask"}
        filters = [{"type": "category", "name": "user.fail"}]
        auth0.streams.log.append(stream("log", NAME, *HERE, filters=filters, pii_config=masks))
        auth0.streams.event.append(stream("event", NAME, *HERE, subscriptions=[{"event_type": "user.created"}]))
        [log], [event] = streams.all("log"), streams.all("event")
        assert [warning.partition(":")[0] for warning in log.warnings] == ["it has filters", "it masks personal data"]
        assert event.warnings == ("it does not subscribe to user.updated, user.deleted: add that in Auth0",)

    @pytest.mark.parametrize(
        "source", ["default", 'aws.partner/auth0.com/a"/auth0.logs', "aws.partner/auth0.com/${a}/auth0.logs", ""]
    )
    def test_an_odd_event_source_is_refused(self, auth0: Server, streams: Streams, source: str) -> None:
        auth0.streams.log.append(stream("log", NAME, *HERE))
        auth0.streams.log[0]["sink"]["awsPartnerEventSource"] = source
        [found] = streams.all("log")
        with pytest.raises(WrongStream, match=r"not like aws\.partner/auth0\.com/<tenant>-<id>/auth0\.logs"):
            require_source(found)


@pytest.mark.parametrize("kind", ["log", "event"])
def test_a_stream_stops_and_starts_once(auth0: Server, streams: Streams, kind: Any) -> None:
    kept = auth0.streams.log if kind == "log" else auth0.streams.event
    kept.append(stream(kind, NAME, *HERE))
    [found] = streams.all(kind)
    stopped = streams.set_running(found, False)
    assert not stopped.runs
    assert streams.all(kind) == [stopped]
    assert streams.set_running(stopped, False) is stopped
    assert streams.set_running(stopped, True).runs
    assert streams.all(kind) == [found]
    assert len(auth0.streams.writes) == 2


def test_a_suspended_log_stream_starts_again(auth0: Server, streams: Streams) -> None:
    auth0.streams.log.append(stream("log", NAME, *HERE, status="suspended"))
    [found] = streams.all("log")
    assert not found.runs
    assert streams.set_running(found, True).runs


def test_the_requests_are_those_of_auth0s_own_sdk(auth0: Server, streams: Streams) -> None:
    sent: list[tuple[str, str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(
            (request.method, request.url.path, request.content and httpx.Response(200, content=request.content).json())
        )
        return httpx.Response(200, json={})

    sink = {"awsAccountId": HERE[0], "awsRegion": HERE[1]}
    to = {"type": "eventbridge", "configuration": {"aws_account_id": HERE[0], "aws_region": HERE[1]}}
    subscriptions = [{"event_type": each} for each in SUBSCRIPTIONS]
    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        sdk = ManagementClient(domain=DOMAIN, token="token", httpx_client=http)
        log = {"name": NAME, "type": "eventbridge", "sink": sink, "startFrom": "2026-10-27T12:05:00.000Z"}
        sdk.log_streams.create(request=CreateLogStreamEventBridgeRequestBody.model_validate(log))
        event = {"name": NAME, "subscriptions": subscriptions, "destination": to, "status": "disabled"}
        sdk.event_streams.create(request=CreateEventStreamEventBridgeRequestContent.model_validate(event))
        sdk.log_streams.update("lst_1", status="paused")
        sdk.event_streams.update("est_1", status="enabled")
    log_stream, _ = streams.create_log_stream(NAME, *HERE, days=30)
    event_stream = streams.create_event_stream(NAME, *HERE)
    auth0.streams.log[0]["id"], auth0.streams.event[0]["id"] = "lst_1", "est_1"
    streams.set_running(msgspec.structs.replace(log_stream, id="lst_1"), False)
    streams.set_running(msgspec.structs.replace(event_stream, id="est_1"), True)
    assert [body for _, _, body in auth0.streams.writes] == [body for _, _, body in sent]
    assert [request.path for request in auth0.requests] == [f"{method} {path}" for method, path, _ in sent]
