"""An erasure is recorded by the manifest function before it happens, or does not happen."""

import io
import json
from typing import Any

import pytest

from pipeline.archive.erasures import recorder
from pipeline.archive.records import Erased
from pipeline.errors import CommandError

ERASED = Erased("logs/dt=2026-01-15/hour=09/x.json.gz", "aa", None)


class Lambda:
    """A client of Lambda with one answer."""

    def __init__(self, payload: Any, **answer: Any) -> None:
        self.payload, self.answer = payload, answer
        self.asked: list[Any] = []

    def invoke(self, **request: Any) -> Any:
        self.asked.append((request["FunctionName"], json.loads(request["Payload"])))
        return self.answer | {"Payload": io.BytesIO(json.dumps(self.payload).encode())}


def test_the_function_gets_the_digests_and_no_personal_data() -> None:
    client: Any = Lambda("manifests/erasures/1")
    record = recorder(client, "auth0-sync-prod-manifest", reference="DSR-17")
    assert record([ERASED]) == ["manifests/erasures/1"]
    objects = [{"key": ERASED.key, "before": "aa", "after": None}]
    request = {"reason": "erasure", "reference": "DSR-17", "objects": objects}
    assert client.asked == [("auth0-sync-prod-manifest", {"erasure": request})]


def test_what_is_not_recorded_is_an_error() -> None:
    client: Any = Lambda({"errorType": "AccessDenied", "errorMessage": "no"}, FunctionError="Unhandled")
    with pytest.raises(CommandError, match="not recorded"):
        recorder(client, "manifest")([ERASED])


def test_without_a_manifest_function_nothing_is_recorded() -> None:
    client: Any = Lambda("manifests/erasures/1")
    recorder(client, None)([ERASED])
    assert client.asked == []
