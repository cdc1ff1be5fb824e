"""The named questions: each with the rows that it must give on events made for it."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from pipeline.archive import questions
from tests.archive import DAY, VIEWS, Archive
from tests.logs import call, log

Json = dict[str, Any]
ADA, BOB, EVE = "auth0|ada", "auth0|bob", "auth0|eve"
NETHERLANDS = {"country_code": "NL", "city_name": "Delft", "latitude": 52.0, "longitude": 4.4}
BRAZIL = {"country_code": "BR", "city_name": "São Paulo", "latitude": -23.5, "longitude": -46.6}


def my_account(at: str, **details: Any) -> Json:
    return log("my_account_authentication_method_succeeded", at, user_id=ADA, details=details)


def login(at: str, user: str = ADA, place: Json | None = None, **data: Any) -> Json:
    fields = {"user_id": user, "user_name": user.removeprefix("auth0|") + "@acme.example", "ip": "198.51.100.1"}
    return log("s", at, **(fields | ({"location_info": place} if place else {}) | data))


def failures(number: int, kind: str = "fp", user: str = ADA, ip: str = "203.0.113.9", start: int = 0) -> list[Json]:
    name = user.removeprefix("auth0|") + "@acme.example"
    return [log(kind, f"08:{start + minute:02d}:00", user_id=user, user_name=name, ip=ip) for minute in range(number)]


def days_ago(days: int) -> str:
    # An hour more, so that the question counts these days at whatever time of the day it is asked.
    return (datetime.now(UTC) - timedelta(days=days, hours=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


# By question: the events, the parameters, and the rows that must come, in order, by some of their columns.
ANSWERS: dict[str, tuple[list[Json], Json, list[Json]]] = {
    "account": (
        [
            login("09:00:00"),
            log("fu", "09:01:00", user_name="Ada@acme.example"),
            call("patch", "/api/v2/users/auth0%7Cbob", at="09:02:00", answer={"user_id": BOB, "email": "ada@acme.example"}),
            login("09:03:00", BOB),
        ],
        {"account": "ADA@acme.example"},
        [{"type": "sapi"}, {"type": "fu"}, {"type": "s"}],
    ),
    "accounts_under_attack": (
        [*failures(6), *failures(6, ip="203.0.113.10", start=10), *failures(3, user=BOB), login("09:00:00")],
        {"minimum": 10},
        [{"account": ADA, "failures": 12, "addresses": 2, "successes": 1}],
    ),
    "activity": (
        [
            login("09:00:00"),
            call("post", "/api/v2/roles/rol_1/users", {"users": [ADA]}, at="09:01:00"),
            login("09:02:00", BOB),
        ],
        {"user_id": ADA},
        [{"type": "sapi", "actor": "auth0|erin"}, {"type": "s", "actor": ADA}],
    ),
    "admin_actions": (
        [call("patch", "/api/v2/users/auth0%7Cada", {"blocked": True}), login("09:00:00", "auth0|erin")],
        {"admin": "erin@acme.example"},
        [{"http_method": "patch", "target_user_ids": [ADA], "request": '{"blocked":true}'}],
    ),
    "api_grants": (
        [
            call(
                "post", "/api/v2/client-grants",
                {"client_id": "c1", "audience": "https://acme.eu.auth0.com/api/v2/", "scope": ["delete:users"]},
            ),
            call("patch", "/api/v2/resource-servers/abc", {"scopes": [{"value": "read:all"}]}, at="08:00:00"),
            call("patch", "/api/v2/clients/abc", {"name": "x"}),
        ],
        {},
        [
            {"granted_to": "c1", "management_api": True, "scopes": '["delete:users"]'},
            {"granted_to": None, "scopes": '[{"value":"read:all"}]'},
        ],
    ),
    "application_changes": (
        [
            call("post", "/api/v2/clients", {"name": "New"}, answer={"name": "New"}, at="09:02:00"),
            call("patch", "/api/v2/clients/abc", {"callbacks": ["https://evil.example"]}, at="09:01:00"),
            call("patch", "/api/v2/clients/abc", {"description": "harmless"}, at="09:00:00"),
        ],
        {},
        [{"name": "New", "callbacks": None}, {"callbacks": '["https://evil.example"]'}],
    ),
    "attack_protection_changes": (
        [
            call("patch", "/api/v2/attack-protection/brute-force-protection", {"enabled": False}),
            call("patch", "/api/v2/tenants/settings", {"enabled": False}),
        ],
        {},
        [{"enabled": "false", "actor_name": "Erin@acme.example"}],
    ),
    "breached_passwords": (
        [log("pwd_leak", "09:00:00", user_name="ada@acme.example"), login("09:00:01")],
        {},
        [{"type": "pwd_leak", "user_name": "ada@acme.example"}],
    ),
    "bulk_operations": (
        [
            *[call("delete", f"/api/v2/users/auth0%7C{n}", at=f"09:0{n}:00") for n in range(3)],
            call("post", "/api/v2/jobs/users-exports", at="08:00:00"),
            call("delete", "/api/v2/clients/abc", at="07:00:00"),
        ],
        {"minimum": 3},
        [
            {"operation": "deletions", "calls": 3, "users": 3, "actor": "auth0|erin"},
            {"operation": "users-exports", "calls": 1},
        ],
    ),
    "busiest_users": (
        [
            *[call("patch", "/api/v2/users/auth0%7Cada", {"n": n}, at=f"09:0{n}:00") for n in range(3)],
            call("patch", "/api/v2/users/auth0%7Cbob", {"n": 1}),
            login("09:00:00"),
        ],
        {},
        [{"target_user_id": ADA, "changes": 3, "client_id": "dashboard"}, {"target_user_id": BOB, "changes": 1}],
    ),
    "dormant_users": (
        [login(days_ago(100)), login(days_ago(5)), login(days_ago(120), BOB), login(days_ago(95), EVE)],
        {"days": 90},
        [{"user_id": BOB, "days": 120}, {"user_id": EVE, "days": 95}],
    ),
    "failed_logins": (
        [*failures(3), log("fepft", "08:00:00.010", user_name="ada@acme.example", ip="203.0.113.9"), *failures(1, ip="i")],
        {},
        [{"ip": "203.0.113.9", "attempts": 3, "accounts": 1}, {"ip": "i", "attempts": 1}],
    ),
    "impossible_travel": (
        [
            login("09:00:00", place=NETHERLANDS),
            login("10:00:00", place=BRAZIL),
            login("09:00:00", BOB, NETHERLANDS),
            login("09:30:00", BOB, NETHERLANDS | {"city_name": "The Hague", "latitude": 52.1}),
            *[login(f"09:4{n}:00", BOB, BRAZIL | {"latitude": odd}) for n, odd in enumerate(("NaN", "Infinity", 200, 1e300))],
        ],
        {},
        [{"user_id": ADA, "country_before": "NL", "country": "BR", "distance_km": 9746}],
    ),
    "last_login": (
        [
            login("09:00:00"),
            log("sepft", "09:30:00", user_id=ADA, ip="i"),
            log("fp", "10:00:00", user_id=ADA),
            login("11:00:00", BOB),
        ],
        {"user_id": ADA},
        [{"type": "sepft", "ip": "i"}],
    ),
    "login_flow_changes": (
        [
            call("patch", "/api/v2/actions/actions/1", {"name": "Enrich"}, at="09:02:00"),
            call("patch", "/api/v2/connections/con_1", {"options": {"customScripts": {"login": "…"}}}, at="09:01:00"),
            call("patch", "/api/v2/connections/con_1", {"options": {"mfa": {}}}, at="09:00:00"),
        ],
        {},
        [{"name": "Enrich"}, {"http_path": "/api/v2/connections/con_1"}],
    ),
    "member_changes": (
        [
            call("post", "/api/v2/organizations/org_1/invitations", {"invitee": {"email": "new@acme.example"}}, at="09:03:00"),
            log("organization_member_added", "09:02:00", user_id=ADA, organization_id="org_1"),
            call("delete", "/api/v2/organizations/org_1/members", {"members": [ADA]}, at="09:01:00"),
            call("post", "/api/v2/tenants/invitations", {"email": "boss@acme.example"}, at="09:00:00"),
            call("patch", "/api/v2/organizations/org_1", {"name": "x"}),
        ],
        {},
        [
            {"member_of": "org_1", "target_email": "new@acme.example"},
            {"member_of": "org_1", "target_user_ids": [ADA]},
            {"member_of": "org_1", "http_method": "delete"},
            {"member_of": "tenant", "target_email": "boss@acme.example"},
        ],
    ),
    "mfa_weakened": (
        [
            log("gd_unenroll", "09:03:00", user_id=ADA),
            call("delete", "/api/v2/users/auth0%7Cada/authentication-methods/totp", at="09:02:00"),
            call("put", "/api/v2/guardian/policies", [], at="09:01:00"),
            call("get", "/api/v2/users/auth0%7Cada/authentication-methods", at="09:00:00"),
            my_account("08:59:00", operation="x", request={"method": "DELETE", "path": "/me/v1/authentication-methods/x"}),
            my_account("08:58:00", operation="delete"),
            my_account("08:57:00", operation="create"),
        ],
        {},
        [
            {"type": "gd_unenroll"},
            {"target_user_id": ADA},
            {"http_path": "/api/v2/guardian/policies", "request": "[]"},
            {"target_user_id": ADA, "http_method": "delete"},
            {"target_user_id": ADA, "http_method": None},
        ],
    ),
    "new_country": (
        [
            login("09:00:00", place=NETHERLANDS),
            login("10:00:00", place=BRAZIL),
            login("11:00:00", place=BRAZIL),
            login("11:30:00"),
            login("09:00:00", BOB, BRAZIL),
        ],
        {},
        [{"user_id": ADA, "country": "BR", "countries_before": "NL", "date": datetime.fromisoformat("2026-01-15T10:00")}],
    ),
    "new_device": (
        [
            login("09:00:00", security_context={"ja4": "one"}),
            login("09:01:00", security_context={"ja4": "one"}),
            login("09:02:00", security_context={"ja4": "two"}),
            login("09:03:00", user_agent="curl"),
            login("09:00:00", BOB, user_agent="curl"),
        ],
        {},
        [{"device": "curl", "user_id": ADA}, {"device": "two"}],
    ),
    "push_fatigue": (
        [
            *[log("gd_send_pn", f"09:{n:02d}:00", user_id=ADA, ip="i") for n in range(6)],
            log("gd_auth_rejected", "09:10:00", user_id=ADA, ip="i"),
            log("gd_auth_succeed", "09:11:00", user_id=ADA, ip="j"),
            log("gd_send_pn", "09:00:00", user_id=BOB, ip="i"),
        ],
        {},
        [{"user_id": ADA, "sent": 6, "rejected": 1, "approved": 1, "addresses": "i, j"}],
    ),
    "rate_limits": (
        [
            *[log("api_limit", f"09:00:0{n}", client_id="c", details={"limit": {"bucket": "writes"}}) for n in range(3)],
            log("limit_mu", "09:00:00", ip="i", description="Too many"),
        ],
        {},
        [{"type": "api_limit", "limited": "writes", "times": 3}, {"type": "limit_mu", "limited": "Too many", "times": 1}],
    ),
    "refresh_token_reuse": (
        [log("ferrt", "09:00:00", user_id=ADA, details={"familyId": "f1"}), log("fertft", "09:00:00", user_id=ADA)],
        {},
        [{"user_id": ADA, "token_family": "f1"}],
    ),
    "shared_phone_or_device": (
        [
            *[log("gd_enrollment_complete", "09:00:00", user_id=u, details={"authenticator": {"phone_number": "+1"}}) for u in (ADA, BOB)],
            *[log("gd_auth_succeed", "09:00:00", user_id=u, details={"device_id": "d"}) for u in (ADA, BOB, EVE)],
            log("gd_auth_succeed", "09:00:00", user_id=ADA, details={"device_id": "e"}),
        ],
        {},
        [
            {"kind": "device", "value": "d", "users": 3, "first_users": f"{ADA}, {BOB}, {EVE}"},
            {"kind": "phone", "value": "+1", "users": 2},
        ],
    ),
    "signup_fraud": (
        [
            *[log("ss", f"09:00:0{n}", ip="i", user_agent="curl", details={"body": {"email": f"{n}@x.example"}}) for n in range(4)],
            log("fs", "09:30:00", ip="i", user_agent="curl", details={"body": {"email": "a@y.example"}}),
            log("ss", "09:00:00", ip="j"),
        ],
        {},
        [{"ip": "i", "tried": 5, "succeeded": 4, "accounts": 5, "domains": 2, "programs": 1}],
    ),
    "signups": (
        [
            log("ss", "2026-01-16T09:00:00Z", connection="db"),
            log("ss", "09:00:00", connection="db"),
            log("ss", "10:00:00", connection="db"),
            log("fs", "10:00:00", connection="db"),
            log("ss", "10:00:00", connection="google"),
        ],
        {},
        [
            {"day": date(2026, 1, 16), "connection": "db", "signups": 1},
            {"day": date(2026, 1, 15), "connection": "db", "signups": 2, "failed": 1},
            {"connection": "google", "signups": 1, "failed": 0},
        ],
    ),
    "sms_pumping": (
        [
            *[log("gd_send_sms", f"09:{n:02d}:00", ip=f"i{n}", details={"authenticator": {"phone_number": f"+37255{n:04d}"}}) for n in range(20)],
            log("cs", "09:00:00", user_name="+31612345678"),
        ],
        {},
        [{"prefix": "+372550", "messages": 20, "numbers": 20, "addresses": 20, "verified": 0}],
    ),
    "stream_gaps": (
        [log("s", "01:00:00"), log("s", "01:30:00"), log("s", "05:00:00"), log("s", "05:10:00") | {"time": "2026-01-15T07:10:00Z"}],
        {},
        [{"kind": "gap", "minutes": 210}, {"kind": "gap", "minutes": 130}, {"kind": "late", "minutes": 120, "logs": 1}],
    ),
    "success_after_failures": (
        [*failures(6), login("08:10:00"), *failures(6, user=BOB), login("10:00:00", BOB), login("08:30:00", EVE)],
        {},
        [{"user_id": ADA, "failures": 6, "addresses": 1}],
    ),
    "who_changed_user": (
        [
            call("patch", "/api/v2/users/auth0%7Cada", {"blocked": True}, at="09:02:00"),
            log("scp", "09:01:00", user_id=ADA),
            login("09:00:00"),
            call("patch", "/api/v2/users/auth0%7Cbob", {"blocked": True}),
        ],
        {"user_id": ADA},
        [{"actor_name": "Erin@acme.example", "request": '{"blocked":true}'}, {"type": "scp", "actor": ADA}],
    ),
}  # fmt: skip


@cache
def archive(name: str) -> Archive:
    """Return an archive of a question's events, which arrived between nine and ten of one day."""
    return Archive(ANSWERS[name][0], day=DAY)


@pytest.mark.parametrize("name", questions.names())
def test_question_returns_the_expected_rows(name: str) -> None:
    events, parameters, expected = ANSWERS[name]
    since = (datetime.now(UTC) - timedelta(days=200)).date().isoformat()
    found = Archive(events, day=max(since, DAY)).ask(name, **({"since": since} | parameters))
    assert [{column: row[column] for column in want} for row, want in zip(found, expected, strict=False)] == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize("name", questions.names())
def test_question_looks_at_no_day_before_since(name: str) -> None:
    parameters = ANSWERS[name][1]
    assert archive(name).ask(name, **(parameters | {"since": "2026-01-16"})) == []


@pytest.mark.parametrize("name", questions.names())
def test_question_looks_at_no_day_after_until(name: str) -> None:
    parameters = ANSWERS[name][1]
    window = {"since": "2026-01-01", "until": "2026-01-14"}
    assert archive(name).ask(name, **(parameters | window)) == []


@pytest.mark.parametrize("name", questions.names())
def test_question_looks_at_the_hours_from_since_to_until(name: str) -> None:
    parameters = ANSWERS[name][1]
    whole = archive(name).ask(name, **(parameters | {"since": DAY, "until": DAY}))
    within = {"since": "2026-01-15T09:59Z", "until": "2026-01-15T09:00Z"}
    assert archive(name).ask(name, **(parameters | within)) == whole
    for since, until in (("2026-01-15T10:15Z", "2026-01-16"), ("2026-01-14", "2026-01-15T08:59Z")):
        assert archive(name).ask(name, **(parameters | {"since": since, "until": until})) == []


@pytest.mark.parametrize("name", questions.names())
def test_question_is_described(name: str) -> None:
    question = questions.load(name)
    assert question.description.endswith(".")
    assert not question.title.endswith(".")
    assert len(question.title) <= 60
    select = sqlglot.parse_one(question.sql, dialect="trino")
    assert isinstance(select, exp.Query)
    assert len(list(select.find_all(exp.Placeholder))) == len(question.parameters)
    assert {table.name for table in select.find_all(exp.Table)} <= set(VIEWS)
    names = [item.alias_or_name for item in select.selects]
    assert len(names) == len(set(names))


def test_there_are_enough() -> None:
    assert len(questions.names()) >= 25


class TestValues:
    def test_defaults(self) -> None:
        question = questions.load("accounts_under_attack")
        since, until, *same, minimum, limit = question.values({})
        assert same == [since, until]
        assert (minimum, limit) == (10, questions.DEFAULT_LIMIT)
        today = datetime.now(UTC).date()
        assert since == f"{today - timedelta(questions.DEFAULT_DAYS)}T00"
        assert until == f"{today}T23"

    def test_parameter_is_bound_at_each_of_its_names(self) -> None:
        values = questions.load("account").values({"account": "x", "since": date(2026, 1, 2), "until": "2026-01-03"})
        hours = ["2026-01-02T00", "2026-01-03T23"]
        assert values == ["x", "x", *hours, *hours, questions.DEFAULT_LIMIT]

    @pytest.mark.parametrize(
        ("since", "until", "hours"),
        [
            ("2026-01-02", "2026-01-02", ("00", "23")),
            ("2026-01-02T09:30Z", "2026-01-02T11:30Z", ("09", "11")),
            ("2026-01-02T09:30:00+01:00", "2026-01-02T11:30", ("08", "11")),
            ("2026-01-02T09:14Z", "2026-01-02T11", ("08", "11")),  # an object of eight o'clock may hold what came then
            (datetime(2026, 1, 2, 9, 30, tzinfo=UTC), date(2026, 1, 2), ("09", "23")),
        ],
    )
    def test_time_is_rounded_to_its_hour(self, since: Any, until: Any, hours: tuple[str, str]) -> None:
        first, last = (f"2026-01-02T{hour}" for hour in hours)
        given = {"since": since, "until": until}
        question = questions.load("failed_logins")
        assert question.values(given)[:4] == [first, last, first, last]
        assert question.window(given) == (f"2026-01-02 {hours[0]}:00", f"2026-01-02 {hours[1]}:59")

    @pytest.mark.parametrize("name", ["since", "until"])
    def test_days_and_hours_back(self, name: str) -> None:
        question = questions.load("failed_logins")
        now = datetime.now(UTC)
        place = ["since", "until"].index(name)
        assert str(question.values({name: "7d"})[place])[:10] == f"{now.date() - timedelta(7)}"
        ages = {f"{now - timedelta(hours=24, minutes=early):%Y-%m-%dT%H}" for early in (-1, 0, 15, 16)}
        assert question.values({name: "24h"})[place] in ages

    @pytest.mark.parametrize(
        ("given", "problem"),
        [
            ({}, "user_id is missing"),
            ({"user_id": "u", "colour": "red"}, "colour is unknown"),
            ({"user_id": "u", "limit": "all"}, "limit is not a whole number"),
            ({"user_id": "u", "since": "x' OR 1=1 --"}, "is no time"),
            ({"user_id": "u", "until": "99999999999999h"}, "until=99999999999999h is no time"),
            ({"user_id": "u", "since": "99999999h"}, "is no time"),
            ({"user_id": "u", "since": "0001-01-01T00:00"}, "is no time"),
            (
                {"user_id": "u", "since": "2026-01-02", "until": "2026-01-01"},
                "since=2026-01-02 is after until=2026-01-01",
            ),
        ],
    )
    def test_invalid_parameters_are_refused(self, given: Json, problem: str) -> None:
        with pytest.raises(ValueError, match=problem):
            questions.load("who_changed_user").values(given)

    def test_error_for_an_unknown_question_lists_the_questions(self) -> None:
        with pytest.raises(ValueError, match="account, accounts_under_attack"):
            questions.load("../who_changed_user")

    def test_a_parameter_is_never_sql(self) -> None:
        assert Archive([login("09:00:00")]).ask("activity", user_id="' OR 1 = 1 --") == []
