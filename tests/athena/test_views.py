"""The catalog, the tables and the views: consistent with each other, and right on traffic and on odd events."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
import sqlglot
from sqlglot import exp
from sqlglot.expressions import Select

from devstack.traffic import Event, Traffic, envelope, eventbridge
from tests.archive import CATALOG, DAY, VIEWS, Archive, Row
from tests.logs import call, log

CASES = Path(__file__).parent / "cases"
TRINO_TO_DUCKDB = {
    "varchar": "VARCHAR", "integer": "INTEGER", "boolean": "BOOLEAN", "double": "DOUBLE", "timestamp(3)": "TIMESTAMP",
    "array(varchar)": "VARCHAR[]",
}  # fmt: skip
USER = "auth0|63d1 ü"
STREAM_EVENT = eventbridge(
    {
        "specversion": "1.0", "type": "user.updated", "source": "urn:auth0:acme", "id": "evt_1234567890123456789012",
        "time": "2026-01-15T08:59:59.123Z", "a0tenant": "acme", "a0stream": "est_1",
        "data": {"object": {"user_id": "auth0|1", "email": "A@acme.example", "updated_at": "2026-01-15T08:59:59.116Z"}},
    },
    event_id="e-1",
    time="2026-01-15T09:00:00Z",
    source="aws.partner/auth0.com/x/auth0.events",
    detail_type="user.updated",
)  # fmt: skip


def case(name: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads((CASES / f"{name}.json").read_text("utf-8"))["events"]
    return events


def one(*events: dict[str, Any] | str, view: str = "tenant_logs") -> Row:
    (row,) = Archive(events).rows(f"SELECT * FROM {view}")
    return row


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic(events=1500, users=60, seed=5, malformed=1)


@pytest.fixture(scope="module", autouse=True)
def events(traffic: Traffic) -> list[Event]:
    """Return all events. Every test needs them: the expected state is complete once they are made."""
    return list(traffic)


@pytest.fixture(scope="module")
def archive(events: list[Event]) -> Archive:
    return Archive([*map(envelope, events), STREAM_EVENT])


class TestCatalog:
    @pytest.mark.parametrize("name", VIEWS)
    @pytest.mark.parametrize("language", ["trino", "athena"])
    def test_a_view_selects_its_columns(self, name: str, language: str) -> None:
        select = sqlglot.parse_one(VIEWS[name], into=Select, dialect=language)
        assert [item.alias_or_name for item in select.selects] == [c["name"] for c in CATALOG["views"][name]["columns"]]

    @pytest.mark.parametrize("name", VIEWS)
    def test_a_filter_on_the_day_can_be_pushed_below_each_window(self, name: str) -> None:
        """An engine may filter before a window only by what the window is partitioned by."""
        select = sqlglot.parse_one(VIEWS[name], dialect="trino")
        windows = [window for window in select.find_all(exp.Window) if window.args.get("partition_by")]
        assert windows
        for window in windows:
            assert "dt" in [part.name for part in window.args["partition_by"]]

    @pytest.mark.parametrize("name", VIEWS)
    def test_types_are_those_of_the_query(self, archive: Archive, name: str) -> None:
        expected = {c["name"]: TRINO_TO_DUCKDB[c["type"]] for c in CATALOG["views"][name]["columns"]}
        assert archive.describe(name) == expected

    def test_every_column_of_a_table_is_text(self) -> None:
        """A text column fails no query: an object in the place of text arrives as its JSON."""
        tables = CATALOG["tables"].values()
        columns = [column for table in tables for column in table["columns"]] + CATALOG["partition_keys"]
        assert {column["type"] for column in columns} == {"string"}

    def test_catalog_is_within_glues_limits(self) -> None:
        for entry in [*CATALOG["tables"].values(), *CATALOG["views"].values()]:
            assert len(entry["description"]) <= 2048
            for column in entry["columns"]:
                assert set(column) == {"name", "type", "comment"}
                assert len(column["comment"]) <= 255
                assert column["name"] == column["name"].lower()
        assert all(isinstance(value, str) for value in CATALOG["parameters"].values())

    def test_partitions_are_projected(self) -> None:
        parameters = CATALOG["parameters"]
        assert [key["name"] for key in CATALOG["partition_keys"]] == ["dt", "hour"]
        assert parameters["projection.enabled"] == "true"
        # Terraform knows the bucket and the first day.
        assert not {"projection.dt.range", "storage.location.template"} & set(parameters)


class TestTenantLogs:
    def test_each_log_once(self, archive: Archive, traffic: Traffic) -> None:
        found = [row["log_id"] for row in archive.rows("SELECT log_id FROM tenant_logs")]
        assert sorted(found) == sorted(traffic.expected.log_ids)

    def test_columns_are_those_of_the_log(self, archive: Archive, events: list[Event]) -> None:
        logs = {event.log_id: event.detail["data"] for event in events}
        same = ("type", "description", "connection", "connection_id", "strategy", "hostname", "ip", "user_agent")
        for row in archive.rows("SELECT * FROM tenant_logs"):
            data = logs[row["log_id"]]
            assert row["date"].isoformat(timespec="milliseconds") + "Z" == data["date"]
            for name in same:
                assert row[name] == data.get(name)
            for name in ("user_id", "user_name", "client_id", "client_name"):
                assert row[name] == (data.get(name) or None)
            assert row["actor"] == (data.get("user_id") or data["client_id"])
            assert (json.loads(row["details"]) if row["details"] else None) == data.get("details")
            assert json.loads(row["data"]) == data
            assert (row["dt"], row["hour"]) == (DAY, "09")

    def test_calls_of_the_management_api(self, archive: Archive, events: list[Event]) -> None:
        logs = {event.log_id: event for event in events}
        calls = archive.rows("SELECT * FROM tenant_logs WHERE type = 'sapi'")
        assert len(calls) > 500
        for row in calls:
            details = logs[row["log_id"]].detail["data"]["details"]
            request = details["request"]
            assert row["http_method"] == request["method"]
            assert row["http_path"] == request["path"]
            assert row["http_status"] == details["response"]["statusCode"]
            assert row["channel"] == request["channel"]
            assert row["actor_name"] == row["actor_email"] == request["auth"]["user"].get("email")
            if logs[row["log_id"]].kind in ("create", "update", "delete", "duplicate") and row["target_user_id"]:
                segment = re.match("/api/v2/users/([^/]+)", request["path"])
                answered = details["response"]["body"].get("user_id")
                if answered or segment:
                    assert row["target_user_id"] == (answered or unquote(segment[1] if segment else ""))
        about_users = {row["log_id"] for row in calls if row["target_user_id"]}
        assert {log_id for log_id, e in logs.items() if e.kind in ("create", "update", "delete")} <= about_users

    def test_log_with_its_id_only_in_data(self) -> None:
        row = one(*case("archive-inner-log-id"), *case("archive-inner-log-id"))
        assert row["type"] == "slo"
        assert row["log_id"].endswith("102")

    @pytest.mark.parametrize(
        "detail",
        [
            {"log_id": "x", "data": "text"},
            {"log_id": "x", "data": [1, 2]},
            {"log_id": "x", "data": None},
            {"log_id": "x", "data": 5},
            {"log_id": {"a": 1}, "data": {"log_id": [1], "type": {"b": 2}, "date": 7, "details": "text"}},
            {"log_id": "x", "data": {"date": "yesterday", "description": {"a": 1}, "user_id": 5, "ip": [], "details": [1]}},
            {"log_id": "x", "data": {"details": {"request": "text", "response": [1]}}},
            {"log_id": "x", "data": {"details": {"request": {"path": ["a"], "body": "text", "query": 5}}}},
            {"log_id": "x", "data": {"details": {"request": {"path": "/api/v2/users/%ZZ/roles", "body": {"users": "u"}}}}},
            {"log_id": "x", "data": {"details": {"request": {"body": {"members": [{"a": 1}], "users": [1]}}}}},
            {"log_id": "x", "data": {"location_info": "NL", "security_context": 5, "is_mobile": "perhaps"}},
            "text", 5, None, [], {},
        ],
    )  # fmt: skip
    def test_odd_event_does_not_fail_a_query(self, detail: Any) -> None:
        archive = Archive([log("s", "09:00:00", user_id=USER), log("s", "09:01:00") | {"detail": detail}])
        for name in VIEWS:
            archive.rows(f"SELECT * FROM {name}")
        assert archive.rows("SELECT count(*) AS n FROM lines") == [{"n": 2}]
        assert len(archive.rows("SELECT * FROM tenant_logs")) == 2
        assert len(archive.rows("SELECT * FROM logs WHERE detail IS NOT NULL")) == 2 - (detail is None)

    @pytest.mark.parametrize("line", ["", "text", "{", '{"detail": {"log_id": "x"', "[]", "null", '"é"'])
    def test_line_that_is_not_an_event_does_not_fail_a_query(self, line: str) -> None:
        archive = Archive([line, json.dumps(log("s", "09:00:00"))])
        assert len(archive.rows("SELECT * FROM tenant_logs")) == 1
        assert archive.rows("SELECT count(*) AS n FROM lines") == [{"n": 2}]

    def test_every_published_field_can_be_asked(self) -> None:
        fields = {
            "identity_user_id": "63d1", "client_ip": "198.51.100.7", "$event_schema": {"version": "1.0.0"},
            "transaction_linking_id": "t1", "location_info": {"country_code": "NL", "city_name": "Delft",
            "latitude": 52.01, "longitude": 4.36}, "security_context": {"ja3": "j3", "ja4": "j4"}, "is_mobile": True,
            "organization_name": "acme", "scope": ["openid", "email"], "details": {"session_id": "s1"},
        }  # fmt: skip
        archive = Archive([log("s", "09:00:00", **fields)])
        (row,) = archive.rows(
            "SELECT *, json_extract_scalar(data, '$[\"$event_schema\"].version') AS schema_version, "
            "json_extract_scalar(data, '$.transaction_linking_id') AS linking FROM tenant_logs"
        )
        named = ("identity_user_id", "client_ip", "country", "city", "latitude", "longitude", "ja3", "ja4", "is_mobile")
        assert [row[name] for name in named] == ["63d1", "198.51.100.7", "NL", "Delft", 52.01, 4.36, "j3", "j4", True]
        assert (row["schema_version"], row["linking"], row["session_id"]) == ("1.0.0", "t1", "s1")
        assert json.loads(row["scope"]) == ["openid", "email"]


PATH = f"/api/v2/users/{quote(USER, safe='')}"
SECONDARY = "google-oauth2|117"
NAMES_A_USER: dict[str, tuple[dict[str, Any], list[str]]] = {
    "creation": (call("post", "/api/v2/users", {"email": "a@b"}, answer={"user_id": USER}), [USER]),
    "creation with a slash": (call("post", "/api/v2/users/", {"user_id": "63d1"}, answer={"user_id": USER}), [USER]),
    "change": (call("patch", PATH, {"blocked": True}), [USER]),
    "the answer is the record": (call("patch", "/api/v2/users/auth0%7CX", answer={"user_id": "auth0|x"}), ["auth0|x", "auth0|X"]),
    "roles of a user": (call("post", f"{PATH}/roles", {"roles": ["rol_1"]}), [USER]),
    "a plus stays one": (call("patch", "/api/v2/users/email%7Ca+b%2541"), ["email|a+b%41"]),
    "users of a role": (call("post", "/api/v2/roles/rol_1/users", {"users": [USER, SECONDARY]}), [USER, SECONDARY]),
    "members added": (call("post", "/api/v2/organizations/org_1/members", {"members": [USER]}), [USER]),
    "members removed": (call("delete", "/api/v2/organizations/org_1/members", {"members": [USER]}), [USER]),
    "roles of a member": (call("post", f"/api/v2/organizations/org_1/members/{quote(USER)}/roles"), [USER]),
    "members of a group": (call("post", "/api/v2/groups/grp_1/members", {"members": [USER]}), [USER]),
    "link": (call("post", f"{PATH}/identities", {"provider": "google-oauth2", "user_id": "117"}), [USER, SECONDARY]),
    "link, whole id": (call("post", f"{PATH}/identities", {"provider": "google-oauth2", "user_id": SECONDARY}), [USER, SECONDARY]),
    "link by a token": (call("post", f"{PATH}/identities", {"link_with": "eyJ"}, answer=[{"provider": "auth0", "user_id": USER[6:]}, {"provider": "google-oauth2", "user_id": 117}]), [USER, SECONDARY]),
    "unlink": (call("delete", f"{PATH}/identities/google-oauth2/117"), [USER, SECONDARY]),
    "unblock": (call("delete", f"/api/v2/user-blocks/{quote(USER)}"), [USER]),
    "password ticket": (call("post", "/api/v2/tickets/password-change", {"user_id": USER}), [USER]),
    "verification ticket": (call("post", "/api/v2/tickets/email-verification", {"user_id": USER}), [USER]),
    "verification mail": (call("post", "/api/v2/jobs/verification-email", {"user_id": USER}), [USER]),
    "enrolment ticket": (call("post", "/api/v2/guardian/enrollments/ticket", {"user_id": USER}), [USER]),
    "grants": (call("delete", "/api/v2/grants?user_id=" + USER), [USER]),
    "device credentials": (call("get", "/api/v2/device-credentials?user_id=" + USER), [USER]),
    "factors": (call("delete", f"{PATH}/authentication-methods/totp%7C1"), [USER]),
    "a connection's users": (call("delete", "/api/v2/connections/con_1/users?email=a@b"), []),
    "another thing": (call("patch", "/api/v2/clients/abc", {"name": "users/x"}), []),
    "scim": (log("sscim", "09:00:00", details={"request": {"method": "patch", "path": f"/scim/v2/connections/con_1/Users/{quote(USER)}"}}), [USER]),
    "my account": (log("my_account_authentication_method_succeeded", "09:00:00", user_id=USER, details={"request": {"method": "delete", "path": "/me/v1/authentication-methods/x"}}), [USER]),
    "an id without its provider": (log("sv", "09:00:00", details={"query": {"user_id": "63d1"}}), ["auth0|63d1"]),
    "a path in a query": (log("sapi", "09:00:00", details={"request": {"method": "get", "path": "/api/v2/logs?from=/users/x"}}), []),
    "login": (log("s", "09:00:00", user_id=USER), [USER]),
    "change of e-mail": (log("sce", "09:00:00", details={"body": {"user_id": USER}}), [USER]),
    "verification": (log("sv", "09:00:00", details={"query": {"user_id": USER}}), [USER]),
    "enrolment": (log("gd_enrollment_complete", "09:00:00", details={"enrollment": {"user_id": USER}}), [USER]),
    "nobody": (log("fu", "09:00:00", user_id="", user_name="x"), []),
}  # fmt: skip

OTHER_NAMES: list[tuple[dict[str, Any], str, str | None]] = [
    (call("post", "/api/v2/organizations/org_1/invitations", {"invitee": {"email": "New@acme.example"}}), "target_email", "new@acme.example"),
    (call("delete", "/api/v2/connections/con_1/users?email=A@b.example"), "target_email", "a@b.example"),
    (call("delete", "/api/v2/user-blocks?identifier=A@b.example"), "target_email", "a@b.example"),
    (call("delete", "/api/v2/user-blocks?identifier=+31611"), "target_phone", "+31611"),
    (call("delete", "/api/v2/user-blocks?identifier=ada"), "target_username", "ada"),
    (call("patch", PATH, {"phone_number": "+31611"}), "target_phone", "+31611"),
    (call("patch", PATH, {"username": "ada"}), "target_username", "ada"),
    (log("fu", "09:00:00", user_name="Ada@acme.example"), "target_email", "ada@acme.example"),
    (log("cs", "09:00:00", user_name="+31611"), "target_phone", "+31611"),
    (log("ss", "09:00:00", details={"body": {"email": "a@b", "username": "ada"}}), "target_username", "ada"),
    (log("gd_send_sms", "09:00:00", details={"authenticator": {"phone_number": "+31611"}}), "target_phone", "+31611"),
    (call("patch", PATH, {"blocked": True}, user_name="admin@acme.example"), "target_email", None),
]  # fmt: skip


@pytest.fixture(scope="module")
def found() -> dict[str, Row]:
    """Return the rows of all these logs, by their ids."""
    events = [*(case[0] for case in NAMES_A_USER.values()), *(case[0] for case in OTHER_NAMES)]
    rows = Archive(events).rows("SELECT * FROM tenant_logs")
    assert len(rows) == len(events)
    return {row["log_id"]: row for row in rows}


class TestTargets:
    @pytest.mark.parametrize("name", NAMES_A_USER)
    def test_users_that_a_log_names(self, found: dict[str, Row], name: str) -> None:
        event, expected = NAMES_A_USER[name]
        row = found[event["detail"]["log_id"]]
        assert row["target_user_ids"] == expected
        assert row["target_user_id"] == (expected[0] if expected else None)

    def test_calls_that_affect_a_user_are_found(self) -> None:
        archive = Archive(case("archive-what-was-done-to-them"))
        assert len(archive.ask("activity", user_id="auth0|u12")) == 3
        assert len(archive.ask("who_changed_user", user_id="auth0|u12")) == 3

    @pytest.mark.parametrize(("event", "column", "expected"), OTHER_NAMES)
    def test_the_targets_other_names(
        self, found: dict[str, Row], event: dict[str, Any], column: str, expected: str | None
    ) -> None:
        assert found[event["detail"]["log_id"]][column] == expected


class TestStreamEvents:
    def test_stream_events_are_not_in_tenant_logs(self, archive: Archive) -> None:
        (row,) = archive.rows("SELECT * FROM stream_events")
        assert (row["type"], row["user_id"], row["email"]) == ("user.updated", "auth0|1", "a@acme.example")
        assert row["date"].isoformat() == "2026-01-15T08:59:59.123000"
        assert json.loads(row["object"])["updated_at"] == "2026-01-15T08:59:59.116Z"
        assert archive.rows("SELECT 1 FROM tenant_logs WHERE event_id = 'e-1'") == []

    def test_duplicate_stream_event_is_removed(self) -> None:
        again = STREAM_EVENT | {"id": "e-2", "time": "2026-01-15T09:00:01Z"}
        assert one(again, STREAM_EVENT, view="stream_events")["event_id"] == "e-1"


class TestLoginAttempts:
    def test_two_logs_of_one_attempt_count_once(self) -> None:
        archive = Archive(case("login-questions"), day="2026-11-25")
        found = archive.rows('SELECT type FROM login_attempts WHERE NOT succeeded ORDER BY "date"')
        assert [row["type"] for row in found] == ["fu", "fp", "fepft"]

    def test_a_block_beside_a_failure_is_kept(self) -> None:
        events = [
            log("fp", "09:00:00.100", user_name="A", ip="i"),
            log("limit_wc", "09:00:00.200", user_name="a", ip="i"),
        ]
        row = one(*events, view="login_attempts")
        assert (row["type"], row["blocked"], row["succeeded"]) == ("fp", True, False)

    def test_attempts_in_quick_succession_stay_apart(self) -> None:
        events = [
            log(kind, f"09:00:00.{milliseconds}", user_name="a", ip="i")
            for milliseconds, kind in enumerate(["fp", "fepft"] * 5, 100)
        ]
        assert len(Archive(events).rows("SELECT * FROM login_attempts")) == 5


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@a", " =1", '"=1"', "'=1", "\t=1", "\uff1d1", "\uff0b1"])
def test_the_documented_query_for_athenas_own_csv_lets_no_cell_begin_a_formula(formula: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "logs.md").read_text("utf-8")
    [query] = re.findall(r"```sql\n(SELECT log_id, \"date\",.*?)```", page, re.DOTALL)
    archive = Archive([log("fp", "09:00:00", user_name=name) for name in (formula, "ann", "a=1")])
    assert sorted(row["user_name"] for row in archive.rows(query)) == sorted([f"'{formula}", "ann", "a=1"])
