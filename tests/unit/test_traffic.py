import json
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from hashlib import md5, sha256
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devstack.traffic import (
    DEFAULT_SOURCE,
    DEFAULT_START,
    Change,
    Event,
    ExpectedState,
    Traffic,
    envelope,
    generate,
    sqs_record,
)
from devstack.traffic.generator import _Tenant
from devstack.traffic.profiles import moment, short_timestamp, timestamp

# The keys of real logs, by type. Written down from captured events, not from the generator.
COMMON = {"date", "type", "description", "log_id", "$event_schema", "environment_name", "tenant_name"}
CALL = COMMON | {"client_id", "client_name", "ip", "user_agent", "details"}
SHARED = COMMON | {"connection", "connection_id", "client_id", "ip", "user_agent", "hostname", "user_id", "user_name"}
VISIT = SHARED | {"client_name", "details", "strategy", "strategy_type"}
SHAPES = {
    "s": VISIT,
    "fp": VISIT,
    "fu": VISIT,
    "ss": VISIT,
    "scp": VISIT,
    "sdu": VISIT,
    "slo": SHARED | {"client_name", "details"},
    "seacft": SHARED | {"client_name", "details"},
    "ssa": VISIT | {"audience", "scope", "auth0_client"},
    "limit_wc": SHARED,
    "organization_member_added": SHARED | {"client_name", "details", "organization_id", "organization_name"},
}
REQUEST = {"method", "path", "query", "userAgent", "body", "channel", "ip", "auth"}
PROFILE = {"created_at", "updated_at", "user_id", "identities", "name", "nickname", "picture"}


def text(event: Event) -> str:
    return json.dumps(envelope(event), ensure_ascii=False, separators=(",", ":"))


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic(events=8000, users=300, seed=11, malformed=3)


@pytest.fixture(scope="module", autouse=True)
def events(traffic: Traffic) -> list[Event]:
    """Return all events. Every test needs them: the expected state is complete once they are made."""
    return list(traffic)


@pytest.fixture(scope="module")
def changes(events: list[Event]) -> dict[str, list[Change]]:
    """Return the distinct changes of each user, in the order of their arrival."""
    found: dict[str, list[Change]] = defaultdict(list)
    for event in events:
        if event.change and event.kind != "duplicate":
            found[event.change.user_id].append(event.change)
    return found


class TestSeed:
    def test_same_seed_generates_the_same_events(self) -> None:
        assert list(generate(500, 40, 7)) == list(generate(500, 40, 7))
        assert list(generate(500, 40, 7)) != list(generate(500, 40, 8))

    def test_the_stream_is_the_same_on_every_python(self) -> None:
        """If the generator is changed on purpose, put the new digest here."""
        digest = sha256("\n".join(map(text, generate(400, 40, 7, malformed=2))).encode()).hexdigest()
        assert digest == "29ef5e93e5a96eebc3ab567063faa2682a3adda19e56b502cc8dbd3a76458971"

    def test_iterating_again_starts_again(self) -> None:
        traffic = Traffic(events=100, users=9, seed=3)
        first = list(traffic)
        live = traffic.expected.live
        assert list(traffic) == first
        assert traffic.expected.live == live
        assert traffic.expected.put == 100

    def test_start_moves_everything(self) -> None:
        start = datetime(2030, 5, 1, tzinfo=UTC)
        moved = list(generate(50, 9, 3, start=start))
        assert [event.time - start for event in moved] == [event.time - DEFAULT_START for event in generate(50, 9, 3)]

    @pytest.mark.parametrize(
        "arguments",
        [
            {"events": -1},
            {"users": 0},
            {"malformed": 11},
            {"start": datetime(2030, 5, 1)},  # noqa: DTZ001 - the point
        ],
    )
    def test_invalid_arguments_are_refused(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"must|time zone"):
            generate(**({"events": 10, "users": 3, "seed": 1} | arguments))


class TestStream:
    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 300), st.integers(1, 60), st.integers(0, 2**32), st.data())
    def test_requested_number_of_events_is_generated(
        self, number: int, users: int, seed: int, data: st.DataObject
    ) -> None:
        malformed = data.draw(st.integers(0, min(number, 5)))
        traffic = Traffic(number, users, seed, malformed=malformed)
        events = list(traffic)
        assert len(events) == number == traffic.expected.put
        assert traffic.expected.counts["malformed"] == malformed
        assert len(traffic.expected.log_ids) == number - traffic.expected.counts["duplicate"]
        assert len(traffic.expected.live) + len(traffic.expected.deleted) <= users

    def test_events_come_in_the_order_of_arrival(self, events: list[Event]) -> None:
        assert [event.time for event in events] == sorted(event.time for event in events)

    def test_mix(self, traffic: Traffic) -> None:
        counts, put = traffic.expected.counts, traffic.expected.put
        assert 0.10 <= counts["duplicate"] / put <= 0.15
        assert 0.08 <= traffic.expected.late / put <= 0.14
        assert counts["update"] > counts["create"] > counts["delete"] > 50
        assert counts["login"] > 1000
        assert len(traffic.expected.live) > 200
        assert len(traffic.expected.deleted) > 20
        assert set(traffic.expected.types) == {"sapi", *SHAPES}

    def test_every_user_appears_when_there_is_room(self, traffic: Traffic) -> None:
        assert len(traffic.expected.live) + len(traffic.expected.deleted) == 300

    def test_a_user_event_is_of_realistic_size(self, events: list[Event]) -> None:
        sizes = [len(text(event).encode()) for event in events if event.kind in ("create", "update")]
        assert 4000 < sum(sizes) / len(sizes) < 5000

    def test_few_events_are_under_way_at_a_time(self) -> None:
        """Memory must not grow with the length of the stream."""
        tenant = _Tenant(20_000, 50, 1, 0, 0)
        longest = max(len(tenant._under_way) for _ in tenant.run())
        assert longest < 60
        assert len(tenant._users) == 50

    def test_duplicates_are_exact_and_have_another_envelope_id(self, events: list[Event]) -> None:
        first = {event.log_id: event for event in events if event.kind != "duplicate"}
        duplicates = [event for event in events if event.kind == "duplicate"]
        for event in duplicates:
            original = first[event.log_id]
            assert event.detail == original.detail
            assert event.change == original.change
            assert envelope(event)["id"] != envelope(original)["id"]
        assert max(Counter(event.log_id for event in duplicates).values()) == 1

    def test_malformed_users_have_no_other_event(self, events: list[Event]) -> None:
        by_user = Counter(event.user_id for event in events)
        malformed = [event for event in events if event.kind == "malformed"]
        assert len(malformed) == 3
        for event in malformed:
            assert event.detail["data"]["details"]["response"]["body"]["updated_at"] == "not-a-date"
            assert by_user[event.user_id] == 1
            assert event.change is None


class TestHardCases:
    """The stream would prove little without these."""

    def test_later_changes_overtake_earlier_ones(self, changes: dict[str, list[Change]]) -> None:
        pairs = [(a, b) for seen in changes.values() for a, b in pairwise(seen) if a.version > b.version]
        assert len(pairs) > 100
        assert any(first.user is None and second.user is not None for first, second in pairs), (
            "an update after a delete"
        )

    def test_equal_updated_at_with_different_content(self, changes: dict[str, list[Change]]) -> None:
        ties = 0
        for seen in changes.values():
            users = defaultdict(list)
            for change in seen:
                if change.user is not None:
                    users[change.version].append(change)
            for same in users.values():
                ties += len(same) > 1
                assert len({change.date for change in same}) == len(same), "the date must decide"
        assert ties > 50

    def test_deletion_wins_in_its_own_millisecond(self, changes: dict[str, list[Change]], traffic: Traffic) -> None:
        races = 0
        for seen in changes.values():
            deleted = {change.version for change in seen if change.user is None}
            races += sum(change.user is not None and change.version in deleted for change in seen)
            newest = max(change.version for change in seen)
            if newest in deleted:
                assert seen[0].user_id in traffic.expected.deleted
        assert races > 5

    def test_users_come_back_after_deletion(self, changes: dict[str, list[Change]], traffic: Traffic) -> None:
        back = [
            user_id
            for user_id, seen in changes.items()
            if user_id in traffic.expected.live and any(change.user is None for change in seen)
        ]
        assert len(back) > 5

    def test_metadata_is_cleared_removed_and_absent(self, events: list[Event], traffic: Traffic) -> None:
        requests = [
            event.detail["data"]["details"]["request"]["body"].get("user_metadata", {"": ""})
            for event in events
            if event.kind == "update"
        ]
        assert requests.count({}) > 20
        assert sum(None in request.values() for request in requests) > 50
        live = traffic.expected.live.values()
        assert sum("user_metadata" not in user for user in live) >= 5
        assert sum(user.get("user_metadata") == {} for user in live) > 2

    def test_removed_keys_are_not_added_again(self, events: list[Event]) -> None:
        for event in events:
            if event.kind == "update":
                exchange = event.detail["data"]["details"]
                after = exchange["response"]["body"].get("user_metadata", {})
                for key, value in (exchange["request"]["body"].get("user_metadata") or {}).items():
                    assert (key not in after) if value is None else after[key] == value

    def test_some_ids_are_hard_to_parse(self, events: list[Event]) -> None:
        paths = " ".join(e.detail["data"]["details"]["request"]["path"] for e in events if e.kind == "update")
        for part in (
            "auth0%7C",
            "google-oauth2%7C",
            "samlp%7Cacme-okta%7C",
            "email%7C",
            "sms%7C",
            "%2F",
            "%2541",
            "%40",
        ):
            assert part in paths
        assert any("|" in event.user_id.partition("|")[2] for event in events if event.user_id)

    def test_updated_at_has_several_forms(self, traffic: Traffic) -> None:
        forms = Counter(re.sub(r"\d", "9", user["updated_at"]) for user in traffic.expected.live.values())
        assert set(forms) >= {"9999-99-99T99:99:99.999Z", "9999-99-99T99:99:99.99Z"}

    def test_names_are_in_many_scripts(self, traffic: Traffic) -> None:
        names = "".join(user["name"] for user in traffic.expected.live.values())
        assert {"李", "ü", "🌸", "ч", "م", "'"} <= set(names)


class TestOracle:
    def test_the_order_of_arrival_does_not_matter(self, traffic: Traffic, events: list[Event]) -> None:
        for arranged in (events[::-1], sorted(events, key=lambda e: e.log_id[::-1]), sorted(events, key=text)):
            expected = ExpectedState()
            for event in arranged:
                expected.observe(event)
            assert expected.live == traffic.expected.live
            assert expected.deleted == traffic.expected.deleted
            assert expected.counts == traffic.expected.counts

    def test_logs_alone_give_the_expected_state(self, traffic: Traffic, events: list[Event]) -> None:
        """Worked out once more from nothing but the JSON, with every distinct log sorted by the documented order."""
        state = {}
        for order, user_id, body in sorted(
            (fact for event in events if (fact := read(json.loads(text(event))))), key=lambda fact: fact[0]
        ):
            state[user_id] = order[0] if body is None else body
        live = {user_id: body for user_id, body in state.items() if isinstance(body, dict)}
        assert live == traffic.expected.live
        assert {u: at for u, at in state.items() if u not in live} == traffic.expected.deleted

    def test_changes_of_a_user_have_distinct_versions(self, changes: dict[str, list[Change]]) -> None:
        for seen in changes.values():
            orders = [(change.version, change.user is None, change.date) for change in seen]
            assert len(set(orders)) == len(orders)

    def test_log_ids_can_be_left_out(self) -> None:
        traffic = Traffic(50, 5, 1, keep_log_ids=False)
        list(traffic)
        assert traffic.expected.log_ids == set()
        assert traffic.expected.put == 50


def read(event: dict[str, Any]) -> Any:
    """(order, user id, user or None) of a log about a user; None for any other."""
    data = event["detail"]["data"]
    if data["type"] != "sapi":
        return None
    request, response = data["details"]["request"], data["details"]["response"]
    date = datetime.fromisoformat(data["date"])
    one = re.fullmatch("/api/v2/users/([^/]+)", request["path"])
    if request["method"] == "delete" and one:
        return (date, True, date), unquote(one[1]), None
    if request["path"] == "/api/v2/users" or (request["method"] == "patch" and one):
        body = response["body"]
        if body["updated_at"] == "not-a-date":
            return None
        return (datetime.fromisoformat(body["updated_at"]), False, date), body["user_id"], body
    return None


class TestShapes:
    def test_envelope(self, events: list[Event]) -> None:
        for event in events:
            outer = envelope(event, "aws.partner/auth0.com/x/auth0.logs", account="1", region="eu-west-1")
            assert list(outer) == [
                "version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"
            ]  # fmt: skip
            assert (outer["detail-type"], outer["account"], outer["region"]) == ("Auth0 log", "1", "eu-west-1")
            assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", outer["id"])
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", outer["time"])
            assert set(outer["detail"]) == {"log_id", "data"}
            assert outer["detail"]["log_id"] == outer["detail"]["data"]["log_id"]
        assert envelope(events[0])["source"] == DEFAULT_SOURCE
        assert len({envelope(event)["id"] for event in events}) == len(events)

    def test_log_ids(self, events: list[Event]) -> None:
        for event in events:
            assert re.fullmatch(r"900\d{53}", event.log_id)
            assert datetime.strptime(event.log_id[3:17], "%Y%m%d%H%M%S").replace(tzinfo=UTC) - event.time < timedelta(
                0, 6
            )
        # An id, but no order of what happened.
        logs = [event for event in events if event.kind != "duplicate"]
        by_id, by_date = (sorted(logs, key=key) for key in (lambda e: e.log_id, lambda e: e.detail["data"]["date"]))
        assert by_id != by_date

    def test_logs_of_visits(self, events: list[Event]) -> None:
        for event in events:
            data = event.detail["data"]
            if data["type"] != "sapi":
                assert set(data) == SHAPES[data["type"]], data["type"]
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", data["date"])

    def test_management_calls(self, events: list[Event]) -> None:
        actors: Counter[str] = Counter()
        for event in events:
            data = event.detail["data"]
            if data["type"] != "sapi":
                continue
            request, response = data["details"]["request"], data["details"]["response"]
            assert set(data) in (CALL, CALL | {"user_id"})
            assert set(data["details"]) == {"request", "response"}
            assert set(request) == REQUEST
            assert set(response) == {"statusCode", "body"}
            assert set(request["auth"]) == {"user", "strategy", "credentials"}
            assert data["client_name"] == ""
            assert request["method"] in ("post", "patch", "delete")
            assert (data["ip"], data["user_agent"]) == (request["ip"], request["userAgent"])
            if user := request["auth"]["user"]:
                assert set(user) == {"user_id", "name", "email"}
                assert data["user_id"] == user["user_id"] != event.user_id
                assert request["channel"] == "https://manage.auth0.com/"
                actors["person"] += 1
            else:
                assert data.get("user_id") is None
                assert request["channel"] == "api"
                actors["null" if "user_id" in data else "absent"] += 1
        assert min(actors.values()) > 100
        assert len(actors) == 3

    def test_user_calls(self, events: list[Event]) -> None:
        for event in events:
            if event.kind not in ("create", "update", "delete"):
                continue
            request, response = (event.detail["data"]["details"][key] for key in ("request", "response"))
            assert event.change
            if event.kind == "delete":
                assert (request["method"], response) == ("delete", {"statusCode": 204, "body": {}})
                assert request["body"] in ({}, None)
            else:
                assert response["body"] is event.change.user
                body: Any = response["body"]
                assert body["user_id"] == event.user_id
                assert set(body) >= PROFILE
                assert body["user_id"] == f"{body['identities'][0]['provider']}|{body['identities'][0]['user_id']}"
                assert ("email" in body) != ("phone_number" in body)
            if event.kind == "create":
                assert (request["method"], request["path"], response["statusCode"]) == ("post", "/api/v2/users", 201)
                assert request["body"].get("password", "*****") == "*****"
                assert body["created_at"][:19] == body["updated_at"].rstrip("Z")[:19]
            else:
                assert request["path"].startswith("/api/v2/users/")
                assert unquote(request["path"].removeprefix("/api/v2/users/")) == event.user_id
                assert "|" not in request["path"]
            if event.kind == "update":
                assert (request["method"], response["statusCode"]) == ("patch", 200)
                late = event.change.date - event.change.version
                assert timedelta(0) < late < timedelta(milliseconds=40)

    def test_no_key_that_auth0_refuses(self, traffic: Traffic) -> None:
        for user in traffic.expected.live.values():
            for key in [*user.get("user_metadata", {}), *user.get("app_metadata", {})]:
                assert not re.search("[.$]", key)

    def test_sqs_record(self, events: list[Event]) -> None:
        body = envelope(events[0])
        record = sqs_record(body, "m1", receive_count=2)
        assert set(record) == {
            "messageId", "receiptHandle", "body", "attributes", "messageAttributes", "md5OfBody", "eventSource",
            "eventSourceARN", "awsRegion",
        }  # fmt: skip
        assert json.loads(record["body"]) == body
        assert record["md5OfBody"] == md5(record["body"].encode()).hexdigest()
        assert (record["messageId"], record["eventSource"], record["awsRegion"]) == ("m1", "aws:sqs", "us-east-1")
        assert record["attributes"]["ApproximateReceiveCount"] == "2"
        sent = datetime.fromtimestamp(int(record["attributes"]["SentTimestamp"]) / 1000, UTC)
        assert sent == events[0].time.replace(microsecond=0)

    @pytest.mark.parametrize("body", ["not JSON", '{"detail": "\\ud800"}', "\ud800"])
    def test_sqs_record_of_any_text(self, body: str) -> None:
        assert sqs_record(body, "m1")["body"] == body


@given(st.integers(0, 4_102_444_800_000))
def test_both_spellings_of_a_time_mean_the_same(milliseconds: int) -> None:
    for spelling in (timestamp(milliseconds), short_timestamp(milliseconds)):
        assert datetime.fromisoformat(spelling) == moment(milliseconds)
    assert short_timestamp(1_768_467_600_000) == "2026-01-15T09:00:00Z"
    assert short_timestamp(1_768_467_600_870) == "2026-01-15T09:00:00.87Z"
