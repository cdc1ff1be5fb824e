"""The migration's function, invoked as it is deployed."""

import base64
import io
import json
from typing import Any

import pytest

from pipeline.deploy.migration import LOSES_DATA, Migrated, migrate
from pipeline.errors import CommandError
from pipeline.functions.migrate import LosesData
from pipeline.invocation import FunctionFailed


class Lambda:
    def __init__(self, answer: Any, **more: str) -> None:
        self.answer, self.more = answer, more
        self.asked: dict[str, Any] = {}

    def invoke(self, **arguments: Any) -> dict[str, Any]:
        self.asked = arguments
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode())} | self.more


def test_says_from_where_to_where() -> None:
    function = Lambda({"from": None, "to": "0003"})
    assert migrate(function, "f", "prod", "0003") == Migrated(None, "0003")
    assert function.asked == {"FunctionName": "f", "Payload": '{"revision": "0003"}', "LogType": "Tail"}


def test_says_the_same_of_the_users_own() -> None:
    own = {"from": None, "to": "u202611260930"}
    done = migrate(Lambda({"from": "0005", "to": "0005", "own": own}), "f", "prod")
    assert str(done) == "0005, unchanged; your own none → u202611260930"
    assert str(Migrated("0005", "0006")) == "0005 → 0006"


def test_migration_that_loses_data_needs_consent() -> None:
    function = Lambda({"from": "0006", "to": None})
    migrate(function, "f", "prod", "base", allow_data_loss=True)
    assert json.loads(function.asked["Payload"]) == {"revision": "base", "allow_data_loss": True}


def test_refusal_has_the_name_of_the_functions_error() -> None:
    answer = {"errorMessage": "0006 would be taken back", "errorType": LosesData.__name__}
    with pytest.raises(FunctionFailed) as raised:
        migrate(Lambda(answer, FunctionError="Unhandled"), "f", "prod", "base")
    assert raised.value.kind == LOSES_DATA


def test_a_failure_shows_the_error_and_the_end_of_the_log() -> None:
    log = "\n".join(f"line {number}" for number in range(30))
    answer = {"errorMessage": "no such revision", "errorType": "CommandError"}
    function = Lambda(answer, FunctionError="Unhandled", LogResult=base64.b64encode(log.encode()).decode())
    with pytest.raises(CommandError) as raised:
        migrate(function, "f", "prod", "nope")
    said = str(raised.value)
    assert said.startswith("The migration to nope failed")
    assert "CommandError: no such revision" in said
    assert "Look:  auth0-sync logs migrate --env prod\n" in said
    assert said.endswith("line 29")
    assert "line 19" not in said
