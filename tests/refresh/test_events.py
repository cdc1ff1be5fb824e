"""Past events from a server that behaves like Auth0's Events API: cuts, limits, errors, and the end."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from pipeline.auth0.credentials import Credentials
from pipeline.auth0.events import Events, Expired, Received
from pipeline.auth0.management import Limited, Management, MissingScopes, Refused, Unanswered
from pipeline.auth0.settings import Auth0
from tests.refresh.events_api import offset_of
from tests.refresh.management_api import CLIENT_ID, CLIENT_SECRET, DOMAIN, Answer, ManagementApi

START = datetime(2026, 11, 25, 10, tzinfo=UTC)
LATER = START + timedelta(days=9)


def event(number: int, kind: str = "user.updated") -> dict[str, Any]:
    moment = f"{START + timedelta(seconds=number):%Y-%m-%dT%H:%M:%S}.250Z"
    return {"id": f"evt_{number}", "type": kind, "time": moment, "data": {"object": {"user_id": f"auth0|{number}é"}}}


Start = Callable[..., Iterator[list[Received]]]
Read = Callable[..., list[Received]]


@pytest.fixture
def start(auth0: ManagementApi) -> Start:
    auth0.events.events = [event(number) for number in range(20)]

    def starting(
        since: datetime = START, offset: str = "", until: datetime = LATER, quiet: float = 0.2, seconds: float = 3
    ) -> Iterator[list[Received]]:
        settings = Auth0(DOMAIN, auth0.url)
        api = Management(settings, Credentials(CLIENT_ID, CLIENT_SECRET), seconds=seconds, pause=0.01)
        return Events(api, quiet=quiet, pause=0.01).read(since, offset, until)

    return starting


@pytest.fixture
def read(start: Start) -> Read:
    return lambda **options: [one for found in start(**options) for one in found if one.event or one.problem]


def numbers(found: list[Received]) -> list[int]:
    return [int(msgspec.json.decode(one.event)["id"][4:]) for one in found]


def test_all_events_from_a_time_on_as_auth0_wrote_them(auth0: ManagementApi, read: Read) -> None:
    found = read(since=START + timedelta(seconds=5, milliseconds=900))
    assert numbers(found) == [*range(5, 20)]
    assert auth0.events.begins[0] == "2026-11-25T10:00:05Z"
    assert msgspec.json.decode(found[0].event) == event(5)
    assert (found[0].type, found[0].time) == ("user.updated", "2026-11-25T10:00:05.250000Z")
    assert found[-1].offset == offset_of(20)


def test_an_offset_goes_on_behind_its_event(read: Read) -> None:
    assert numbers(read(offset=offset_of(7))) == [*range(7, 20)]


def test_events_of_other_kinds_do_not_come(auth0: ManagementApi, read: Read) -> None:
    auth0.events.events[3] = event(3, "organization.created")
    auth0.events.events[4] = event(4, "user.deleted")
    assert numbers(read()) == [0, 1, 2, *range(4, 20)]


def test_an_event_of_the_end_ends_it_at_once(auth0: ManagementApi, read: Read) -> None:
    auth0.events.events.append(event(30))
    began = time.monotonic()
    assert numbers(read(until=START + timedelta(seconds=25), quiet=60)) == [*range(20), 30]
    assert time.monotonic() - began < 30


def test_the_end_is_by_the_clock_of_auth0(auth0: ManagementApi, read: Read) -> None:
    auth0.events.per_event = 0.01
    assert len(read(until=START)) < 20
    auth0.events.ahead = timedelta(hours=1)
    assert numbers(read(until=START)) == [*range(20)]


def test_events_that_come_meanwhile_belong_to_it(auth0: ManagementApi, read: Read) -> None:
    auth0.events.per_event = 0.05
    auth0.events.events += [event(number) for number in range(20, 30)]
    assert numbers(read()) == [*range(30)]


@pytest.mark.parametrize("per_connection", [1, 3, 19])
def test_connections_that_auth0_closes_change_nothing(auth0: ManagementApi, read: Read, per_connection: int) -> None:
    auth0.events.per_connection = per_connection
    assert numbers(read()) == [*range(20)]


@pytest.mark.parametrize("cut", [5, 24, 100, 200, 300, 451])
def test_a_cut_in_the_middle_of_a_message_changes_nothing(auth0: ManagementApi, read: Read, cut: int) -> None:
    auth0.events.cuts.extend([cut, 0, cut + 1])
    assert numbers(read()) == [*range(20)]


def test_an_end_announced_by_auth0_changes_nothing(auth0: ManagementApi, read: Read) -> None:
    auth0.events.errors.extend([{"code": "connection_timeout", "offset": offset_of(19)}, {"code": "timeout"}, {}])
    assert numbers(read()) == [*range(20)]


def test_an_event_that_auth0_cannot_send_is_told_and_passed(auth0: ManagementApi, read: Read) -> None:
    auth0.events.errors.append({"code": "payload_too_large", "message": "x", "offset": offset_of(2)})
    found = read()
    assert [one.problem for one in found if one.problem] == ["payload_too_large"]
    assert numbers([one for one in found if one.event]) == [0, *range(2, 20)]


def test_an_error_that_comes_again_ends_it(auth0: ManagementApi, read: Read) -> None:
    auth0.events.cuts.extend([1, 1, 1, 1])
    with pytest.raises(Unanswered, match="4 connections"):
        read()


def test_messages_that_nobody_can_read_are_told(auth0: ManagementApi, read: Read) -> None:
    auth0.events.raw = {2: "{", 3: "[]", 4: '{"offset":"x"}', 5: "null", 6: '{"event":3}'}
    found = read()
    assert [one.problem for one in found if one.problem] == ["unreadable"] * 5
    assert numbers([one for one in found if one.event]) == [0, 1, *range(7, 20)]


def test_an_event_of_any_depth_is_read(auth0: ManagementApi, read: Read) -> None:
    nest = "[" * 5000 + "]" * 5000
    auth0.events.raw = {2: f'{{"event":{{"id":"evt_2","type":"user.updated","time":"x","data":{nest}}}}}'}
    found = read()
    assert numbers(found) == [*range(20)]
    assert found[2].time == ""


def test_data_of_several_lines_is_one_event(auth0: ManagementApi, read: Read) -> None:
    auth0.events.raw = {0: '{"event":{"id":"evt_0",\n"type":"user.updated"}}'}
    assert numbers(read()) == [*range(20)]


def test_a_silent_tenant_has_caught_up(auth0: ManagementApi, read: Read) -> None:
    auth0.events.events.clear()
    auth0.events.silent = True
    assert read() == []


@pytest.mark.parametrize("markers", [True, False])
def test_a_heartbeat_is_no_event(auth0: ManagementApi, read: Read, markers: bool) -> None:
    auth0.events.markers = markers
    assert numbers(read()) == [*range(20)]


def test_a_time_that_auth0_no_longer_keeps(auth0: ManagementApi, read: Read) -> None:
    auth0.events.first = 5
    for begin in ({"since": START}, {"offset": offset_of(3)}):
        with pytest.raises(Expired, match="410"):
            read(**begin)


def test_events_before_an_expiry_are_delivered(auth0: ManagementApi, start: Start) -> None:
    auth0.events.errors.append({"code": "cursor_expired"})
    source = start()
    assert numbers(next(source)) == [0]
    with pytest.raises(Expired, match="cursor_expired"):
        next(source)


def test_a_place_that_auth0_does_not_know(read: Read) -> None:
    with pytest.raises(Expired, match="400"):
        read(offset="damaged!")


def test_a_limit_is_waited_for(auth0: ManagementApi, read: Read) -> None:
    auth0.next_answers.append(Answer(429, b"{}", {"Retry-After": "1"}))
    assert numbers(read()) == [*range(20)]


def test_one_connection_too_many(auth0: ManagementApi, read: Read) -> None:
    auth0.events.open = 1
    with pytest.raises(Limited, match="limits the open connections"):
        read(seconds=1.5)


def test_a_plan_without_the_events_api(auth0: ManagementApi, read: Read) -> None:
    auth0.next_answers.append(Answer(403, b'{"message":"not enabled","errorCode":"feature_not_enabled"}'))
    with pytest.raises(Refused, match="not enabled"):
        read()


def test_a_missing_scope_is_named(auth0: ManagementApi, read: Read) -> None:
    auth0.scopes.discard("read:events")
    with pytest.raises(MissingScopes, match="read:events"):
        read()


def test_a_token_that_ends_between_two_connections(auth0: ManagementApi, read: Read) -> None:
    auth0.events.per_connection = 5
    auth0.expires_in = 61  # each is replaced after a second; a refused one at once
    assert numbers(read()) == [*range(20)]


def test_an_answer_that_is_no_stream(auth0: ManagementApi, read: Read) -> None:
    auth0.next_answers.append(Answer(200, b"<html>"))
    with pytest.raises(Unanswered, match="not a stream"):
        read()
