import socket
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta

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
def test_the_sink(name):
    assert sink({"SINK": name}) == name


@pytest.mark.parametrize("env", [{}, {"SINK": ""}, {"SINK": "Postgres"}, {"SINK": "s3"}])
def test_an_unknown_sink_is_named(env):
    with pytest.raises(BadSettings, match="SINK"):
        sink(env)


def test_the_users_table():
    assert users_table({"USERS_TABLE": "users"}) == "users"
    for env in ({}, {"USERS_TABLE": ""}):
        with pytest.raises(BadSettings, match="USERS_TABLE"):
            users_table(env)


def test_a_database_by_url():
    database = Database.from_env({"DATABASE_URL": "postgresql://h/d"} | AURORA)
    assert database == Database(url="postgresql://h/d")
    assert not database.iam


def test_a_database_by_host_signs_in_with_iam():
    database = Database.from_env(AURORA)
    assert database == Database(
        host=AURORA["PGHOST"], port=5433, name="auth0", user="auth0_sync", region="eu-central-1"
    )
    assert database.iam
    for env in ({**AURORA, "PGPORT": ""}, {key: value for key, value in AURORA.items() if key != "PGPORT"}):
        assert Database.from_env(env).port == 5432


def test_the_authorities_of_an_own_certificate():
    assert Database.from_env(AURORA | {"PGSSLROOTCERT": "/opt/ca.pem"}).ca_file == "/opt/ca.pem"
    assert Database.from_env(AURORA).ca_file == ""


@pytest.mark.parametrize("missing", ["PGHOST", "PGDATABASE", "PGUSER", "AWS_REGION"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_variable_is_named(missing, value):
    env = {key: found for key, found in AURORA.items() if key != missing} | ({} if value is None else {missing: value})
    with pytest.raises(BadSettings, match=missing):
        Database.from_env(env)


@pytest.mark.parametrize("port", ["x", "54 32", "-1", "1.5"])
def test_a_port_that_is_no_number_is_named(port):
    with pytest.raises(BadSettings, match="PGPORT"):
        Database.from_env(AURORA | {"PGPORT": port})


def test_settings_are_frozen():
    with pytest.raises(FrozenInstanceError):
        Database.from_env(AURORA).port = 1


# The IAM token


@pytest.fixture
def at_a_fixed_time(monkeypatch):
    moment = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
    for module in (auth, compat):
        if hasattr(module, "get_current_datetime"):
            monkeypatch.setattr(module, "get_current_datetime", lambda remove_tzinfo=True: moment.replace(tzinfo=None))


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("user", ["auth0_sync", "a b+c@d/é&x=y~"])
@pytest.mark.parametrize("session_token", ["", "FwoGZXIvYXdzE//+session=="])
def test_the_iam_token_is_botocores_own(monkeypatch, at_a_fixed_time, offline, user, session_token):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    monkeypatch.setenv("AWS_SESSION_TOKEN", session_token)
    database = Database.from_env(AURORA | {"PGUSER": user})
    client = botocore.session.Session().create_client("rds", region_name="eu-central-1")
    expected = client.generate_db_auth_token(DBHostname=database.host, Port=database.port, DBUsername=user)
    token = iam.token(database)
    assert token == expected
    assert "X-Amz-Date=20260115T090000Z" in token
    assert f"X-Amz-Expires={iam.LIFETIME}" in token
    assert ("X-Amz-Security-Token" in token) == bool(session_token)


def test_no_credentials_are_named(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(BadSettings, match="AWS_ACCESS_KEY_ID"):
        iam.token(Database.from_env(AURORA))


@pytest.mark.parametrize(
    ("env", "seconds"), [({}, 86_400), ({"CLOCK_TOLERANCE": ""}, 86_400), ({"CLOCK_TOLERANCE": "60"}, 60)]
)
def test_the_tolerance_of_the_clock(env, seconds):
    assert clock_tolerance(env) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["a day", "-1", "1.5"])
def test_a_tolerance_that_is_no_number_is_refused(text):
    with pytest.raises(BadSettings, match="CLOCK_TOLERANCE"):
        clock_tolerance({"CLOCK_TOLERANCE": text})
