import socket
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import pytest
from botocore import auth, compat

from pipeline.errors import BadSettings
from pipeline.settings import Database, clock_tolerance, sink, users_table
from pipeline.sinks import iam

AURORA = {
    "PGHOST": "auth0-sync.cluster-x.eu-central-1.rds.amazonaws.com",
    "PGPORT": "5433",
    "PGDATABASE": "auth0",
    "PGUSER": "auth0_sync",
    "AWS_REGION": "eu-central-1",
}


@pytest.mark.parametrize("name", ["postgres", "dynamodb"])
def test_the_sink(name: str) -> None:
    assert sink({"SINK": name}) == name


@pytest.mark.parametrize("env", [{}, {"SINK": ""}, {"SINK": "Postgres"}, {"SINK": "s3"}])
def test_an_unknown_sink_is_named(env: dict[str, Any]) -> None:
    with pytest.raises(BadSettings, match="SINK"):
        sink(env)


def test_the_users_table() -> None:
    assert users_table({"USERS_TABLE": "users"}) == "users"
    for env in ({}, {"USERS_TABLE": ""}):
        with pytest.raises(BadSettings, match="USERS_TABLE"):
            users_table(env)


def test_a_database_by_url() -> None:
    database = Database.from_env({"DATABASE_URL": "postgresql://h/d"} | AURORA)
    assert database == Database(url="postgresql://h/d")
    assert not database.iam


def test_a_database_by_host_signs_in_with_iam() -> None:
    database = Database.from_env(AURORA)
    assert database == Database(
        host=AURORA["PGHOST"], port=5433, name="auth0", user="auth0_sync", region="eu-central-1"
    )
    assert database.iam
    for env in ({**AURORA, "PGPORT": ""}, {key: value for key, value in AURORA.items() if key != "PGPORT"}):
        assert Database.from_env(env).port == 5432


def test_the_authorities_of_an_own_certificate() -> None:
    assert Database.from_env(AURORA | {"PGSSLROOTCERT": "/opt/ca.pem"}).ca_file == "/opt/ca.pem"
    assert Database.from_env(AURORA).ca_file == ""


@pytest.mark.parametrize("missing", ["PGHOST", "PGDATABASE", "PGUSER", "AWS_REGION"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_variable_is_named(missing: str, value: str | None) -> None:
    env = {key: found for key, found in AURORA.items() if key != missing} | ({} if value is None else {missing: value})
    with pytest.raises(BadSettings, match=missing):
        Database.from_env(env)


@pytest.mark.parametrize("port", ["x", "54 32", "-1", "1.5"])
def test_invalid_port_is_named(port: str) -> None:
    with pytest.raises(BadSettings, match="PGPORT"):
        Database.from_env(AURORA | {"PGPORT": port})


@pytest.mark.parametrize("name", ["port", "url"])
def test_settings_are_frozen(name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(Database.from_env(AURORA), name, 1)


# The IAM token


MOMENT = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)


@pytest.fixture
def botocore_at_a_fixed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (auth, compat):
        if hasattr(module, "get_current_datetime"):
            monkeypatch.setattr(module, "get_current_datetime", lambda remove_tzinfo=True: MOMENT.replace(tzinfo=None))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("user", ["auth0_sync", "a b+c@d/é&x=y~"])
@pytest.mark.parametrize("session_token", ["", "FwoGZXIvYXdzE//+session=="])
def test_the_iam_token_is_botocores_own(
    monkeypatch: pytest.MonkeyPatch, botocore_at_a_fixed_time: Any, offline: Any, user: str, session_token: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    monkeypatch.setenv("AWS_SESSION_TOKEN", session_token)
    database = Database.from_env(AURORA | {"PGUSER": user})
    client: Any = botocore.session.Session().create_client("rds", region_name="eu-central-1")
    expected = client.generate_db_auth_token(DBHostname=database.host, Port=database.port, DBUsername=user)
    token = iam.token(database, now=MOMENT)
    assert token == expected
    assert "X-Amz-Date=20260115T090000Z" in token
    assert f"X-Amz-Expires={iam.LIFETIME}" in token
    assert ("X-Amz-Security-Token" in token) == bool(session_token)


@pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_missing_credentials_are_named(missing: str) -> None:
    env = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"} | {missing: ""}
    with pytest.raises(BadSettings, match=missing):
        iam.token(Database.from_env(AURORA), env)


@pytest.mark.parametrize(
    ("env", "seconds"), [({}, 86_400), ({"CLOCK_TOLERANCE": ""}, 86_400), ({"CLOCK_TOLERANCE": "60"}, 60)]
)
def test_the_tolerance_of_the_clock(env: dict[str, Any], seconds: int) -> None:
    assert clock_tolerance(env) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["a day", "-1", "1.5"])
def test_invalid_clock_tolerance_is_refused(text: str) -> None:
    with pytest.raises(BadSettings, match="CLOCK_TOLERANCE"):
        clock_tolerance({"CLOCK_TOLERANCE": text})
