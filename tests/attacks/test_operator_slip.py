"""A slip of an operator, who has the rights to do it."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from pipeline.auth0.api import Gone
from pipeline.auth0.settings import Auth0, Refresh
from pipeline.errors import BadSettings
from pipeline.functions import refresh
from pipeline.settings import Database
from pipeline.sinks.postgres import connect
from tests.refresh.support import DYNAMODB, POSTGRES, REFRESH, Sqs, login, records

from .actors import Target

pytestmark = [pytest.mark.stack, pytest.mark.emulator, pytest.mark.postgres]

PASSWORD = "s3cr%t/k@y5#Zq9v"


def test_older_schema_does_not_take_the_data(target: Target) -> None:
    answer = target.stack.client("lambda").invoke(
        FunctionName=target.output("function_names")["migrate"], Payload=json.dumps({"revision": "base"})
    )
    assert "FunctionError" in answer
    assert b"would take revisions back" in answer["Payload"].read()
    with psycopg.connect(target.stack.url_of("auth0_reader")) as connection:
        assert connection.execute("SELECT count(*) > 0 FROM auth0.users").fetchone() == (True,)


class Nobody:
    """A tenant that knows none of the users, as every other tenant does."""

    def fetch(self, user_id: str, deadline: float) -> Gone:
        return Gone(datetime.now(UTC))


def test_credentials_of_another_tenant_delete_nobody() -> None:
    sqs, unused = Sqs(), None
    config = Refresh(REFRESH, (POSTGRES, DYNAMODB), 50)
    connect_to: Any = Nobody
    queues: Any = sqs
    functions: Any = unused
    function = refresh.Refresh(config, connect_to, queues, functions)
    event = records([login(f"auth0|{number}") for number in range(20)])
    assert function(event["Records"], time.monotonic() + 60) == {"batchItemFailures": []}
    assert not sqs.batches.get(POSTGRES)
    assert not sqs.batches.get(DYNAMODB)


@pytest.mark.parametrize("url", ["http://attacker.example", "ftp://acme.eu.auth0.com", "//acme.eu.auth0.com"])
def test_secret_is_not_posted_in_the_clear(url: str) -> None:
    env = {
        "AUTH0_DOMAIN": "acme.eu.auth0.com",
        "AUTH0_BASE_URL": url,
        "AUTH0_CLIENT_ID": "x",
        "AUTH0_CLIENT_SECRET": "x",
    }
    with pytest.raises(BadSettings):
        Auth0.from_env(env)


def test_password_with_special_characters_is_in_no_error() -> None:
    with pytest.raises(BadSettings) as error:
        connect(Database(url=f"postgresql://auth0:{PASSWORD}@db.invalid/auth0"))
    shown = f"{error.value!r} {error.value.__cause__!r} {error.value.__context__!r}"
    assert not [piece for start in range(len(PASSWORD) - 3) if (piece := PASSWORD[start : start + 4]) in shown]
