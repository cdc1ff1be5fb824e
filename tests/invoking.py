"""The sync function as Lambda invokes it, with all that it writes."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import pytest

from devstack.traffic import DEFAULT_SOURCE
from pipeline.functions import sync
from pipeline.sinks import Sink
from pipeline.telemetry import handler
from tests.strategies import EVENTS_SOURCE, Json, records

SOURCES = f"{DEFAULT_SOURCE},{EVENTS_SOURCE},aws.partner/auth0.com/acme"
"""The sources of the events of all tests."""


class Function:
    """The function, and the lines that it has written so far."""

    def __init__(self, function: Callable[[list[Json]], sync.Answer], output: io.StringIO) -> None:
        self._function = function
        self._output = output

    def __call__(self, *bodies: str | Json) -> list[str]:
        """Invoke with messages m0, m1, …; the ids of those to be delivered again."""
        return self.invoke(records(*bodies))

    def invoke(self, batch: list[Json]) -> list[str]:
        with redirect_stdout(self._output):
            answer = self._function(batch)
        assert set(answer) == {"batchItemFailures"}
        assert all(set(failure) == {"itemIdentifier"} for failure in answer["batchItemFailures"])
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    @property
    def output(self) -> str:
        return self._output.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines()]

    def logged(self, message: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("message") == message]


@contextmanager
def sync_with(sink: Sink, **parts: Any) -> Iterator[Function]:
    """Yield the function with a sink of the test's own; ``parts``: see ``Sync``."""
    with _logged() as output:
        yield Function(sync.Sync(sink, "dynamodb", **parts), output)


@contextmanager
def _logged() -> Iterator[io.StringIO]:
    output = io.StringIO()
    before = handler.setStream(output)
    try:
        yield output
    finally:
        handler.setStream(before)


@contextmanager
def sync_function(monkeypatch: pytest.MonkeyPatch, **env: str) -> Iterator[Function]:
    """Yield a fresh execution environment with the variables ``env``."""
    for name in ("DATABASE_URL", "PGHOST", "USERS_TABLE", "SINK", "REFRESH_ROLE_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"EVENT_SOURCES": SOURCES} | env).items():
        monkeypatch.setenv(name, value)
    sync.sync.cache_clear()
    try:
        with _logged() as output:
            yield Function(lambda batch: sync.handler({"Records": batch}, None), output)
    finally:
        if sync.sync.cache_info().currsize:
            sync.sync().sink.close()
        sync.sync.cache_clear()
