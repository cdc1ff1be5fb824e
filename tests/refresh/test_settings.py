import json
from collections.abc import Iterator

import boto3
import botocore.session
import pytest
from botocore.stub import Stubber

from pipeline.auth0.credentials import Credentials, credentials
from pipeline.auth0.errors import CredentialsRefused
from pipeline.auth0.settings import Auth0, Refresh
from pipeline.errors import BadSettings

ARN = "arn:aws:secretsmanager:us-east-1:000000000000:secret:auth0-AbCdEf"
LOCAL = {"AUTH0_DOMAIN": "acme.eu.auth0.com", "AUTH0_CLIENT_ID": "id", "AUTH0_CLIENT_SECRET": "secret"}
DEPLOYED = {"AUTH0_DOMAIN": "acme.eu.auth0.com", "AUTH0_CLIENT_SECRET_ARN": ARN}
QUEUES = {"REFRESH_QUEUE_URL": "https://sqs/refresh", "SINK_QUEUE_URLS": "https://sqs/a, https://sqs/b"}


def test_auth0s_own_address_unless_another_is_given() -> None:
    assert Auth0.from_env(LOCAL).base_url == "https://acme.eu.auth0.com"
    assert Auth0.from_env(LOCAL | {"AUTH0_BASE_URL": "http://127.0.0.1:8080/"}).base_url == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    "url", ["https://acme.example", "http://localhost:8080", "http://127.0.0.9", "http://[::1]:80"]
)
def test_secret_is_sent_encrypted_or_to_this_machine_only(url: str) -> None:
    assert Auth0.from_env(LOCAL | {"AUTH0_BASE_URL": url}).base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://acme.eu.auth0.com",
        "HTTP://acme.eu.auth0.com",
        "http://127.0.0.1.attacker.example",
        "http://localhost.attacker.example",
        "http://localhost@attacker.example",
        "http://127.0.0.1:80@attacker.example",
        "http://10.0.0.1",
        "http://[::1",
        "https://",
        "ftp://localhost",
        "acme.eu.auth0.com",
        "//localhost",
    ],
)
def test_a_secret_is_not_sent_in_the_clear(url: str) -> None:
    with pytest.raises(BadSettings, match="AUTH0_BASE_URL"):
        Auth0.from_env(LOCAL | {"AUTH0_BASE_URL": url})


@pytest.mark.parametrize(
    ("domain", "tenant"),
    [("acme.eu.auth0.com", "acme"), ("Acme.auth0.com", "acme"), ("acme.private.example", ""), ("xauth0.com", "")],
)
def test_a_domain_of_auth0_names_the_tenant(domain: str, tenant: str) -> None:
    assert Auth0.from_env(LOCAL | {"AUTH0_DOMAIN": domain}).tenant == tenant


def test_a_secret_never_shows_in_the_settings() -> None:
    assert "secret'" not in repr(Auth0.from_env(LOCAL))


def test_the_refresh_settings_and_their_defaults() -> None:
    assert Refresh.from_env(QUEUES) == Refresh("https://sqs/refresh", ("https://sqs/a", "https://sqs/b"), 2, 345_600)
    chosen = Refresh.from_env(QUEUES | {"REFRESH_RATE": "0.5", "REFRESH_MAX_AGE": "60"})
    assert (chosen.rate, chosen.max_age) == (0.5, 60)
    assert Refresh.from_env(QUEUES | {"SINK_FUNCTIONS": "a, b"}).sink_functions == ("a", "b")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"AUTH0_DOMAIN": ""}, "AUTH0_DOMAIN is not set"),
        ({"AUTH0_DOMAIN": "https://acme.eu.auth0.com"}, "AUTH0_DOMAIN is 'https"),
        ({"AUTH0_DOMAIN": "acme"}, "AUTH0_DOMAIN is 'acme'"),
        ({"AUTH0_CLIENT_ID": ""}, "AUTH0_CLIENT_ID is not set"),
        ({"AUTH0_CLIENT_SECRET": ""}, "AUTH0_CLIENT_SECRET_ARN nor AUTH0_CLIENT_SECRET"),
    ],
)
def test_wrong_auth0_settings_name_the_variable(changed: dict[str, str], named: str) -> None:
    with pytest.raises(BadSettings, match=named):
        Auth0.from_env(LOCAL | changed)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"SINK_QUEUE_URLS": " , "}, "SINK_QUEUE_URLS"),
        ({"REFRESH_QUEUE_URL": ""}, "REFRESH_QUEUE_URL"),
        ({"REFRESH_RATE": "0"}, "REFRESH_RATE is '0'"),
        ({"REFRESH_RATE": "fast"}, "REFRESH_RATE is 'fast'"),
        ({"REFRESH_RATE": "nan"}, "REFRESH_RATE is 'nan'"),
        ({"SINK_FUNCTIONS": "a"}, "SINK_FUNCTIONS names 1 functions for 2 queues"),
        ({"REFRESH_MAX_AGE": "-1"}, "REFRESH_MAX_AGE is '-1'"),
    ],
)
def test_wrong_refresh_settings_name_the_variable(changed: dict[str, str], named: str) -> None:
    with pytest.raises(BadSettings, match=named):
        Refresh.from_env(QUEUES | changed)


def test_local_credentials_need_no_secret_store() -> None:
    def never(arn: str) -> str:
        raise AssertionError(arn)

    assert credentials(Auth0.from_env(LOCAL), never) == Credentials("id", "secret")


@pytest.mark.parametrize(
    ("environment", "secret", "expected"),
    [
        (DEPLOYED, json.dumps({"client_id": "id", "client_secret": "s"}), Credentials("id", "s")),
        (DEPLOYED | {"AUTH0_CLIENT_ID": "mine"}, json.dumps({"client_secret": "s"}), Credentials("mine", "s")),
        (DEPLOYED | {"AUTH0_CLIENT_ID": "mine"}, "plain\n", Credentials("mine", "plain")),
    ],
)
def test_a_stored_secret_may_hold_both_or_the_secret_alone(
    environment: dict[str, str], secret: str, expected: Credentials
) -> None:
    asked: list[str] = []

    def read(arn: str) -> str:
        asked.append(arn)
        return secret

    assert credentials(Auth0.from_env(environment), read) == expected
    assert asked == [ARN]


@pytest.mark.parametrize(
    "secret", ["plain", '{"client_id": "id"}', '{"client_secret": 5}', "{", '{"client_secret":""}', ""]
)
def test_a_secret_without_what_is_needed_is_a_wrong_setting_and_is_not_shown(secret: str) -> None:
    with pytest.raises(BadSettings, match="AUTH0_CLIENT_SECRET_ARN") as caught:
        credentials(Auth0.from_env(DEPLOYED), lambda arn: secret)
    assert "plain" not in str(caught.value)


@pytest.fixture
def secrets_manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    client = boto3.client(
        "secretsmanager", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    monkeypatch.setattr(botocore.session.Session, "create_client", lambda _session, _service: client)
    with Stubber(client) as stubber:
        yield stubber
    client.close()


def test_the_secret_is_read_from_secrets_manager(secrets_manager: Stubber) -> None:
    text = json.dumps({"client_id": "id", "client_secret": "s"})
    secrets_manager.add_response("get_secret_value", {"SecretString": text}, {"SecretId": ARN})
    assert credentials(Auth0.from_env(DEPLOYED)) == Credentials("id", "s")


def test_a_secret_that_cannot_be_read_is_to_be_retried(secrets_manager: Stubber) -> None:
    secrets_manager.add_client_error("get_secret_value", "AccessDeniedException")
    with pytest.raises(CredentialsRefused, match="AccessDeniedException"):
        credentials(Auth0.from_env(DEPLOYED))
