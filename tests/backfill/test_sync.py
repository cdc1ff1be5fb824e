"""The sinks' function with a slice of an export: its callers, its answer and its log."""

import base64
import gzip
import json
import tracemalloc
from typing import Any

import pytest

from pipeline.backfill.load import SliceTooLarge
from pipeline.changes import Outcome
from pipeline.errors import Refused, StoreBusy, StoreDown
from pipeline.functions.sync import Sync, answer
from pipeline.pseudonym import pseudonym
from pipeline.sinks import Sink
from tests.backfill.test_function import Log
from tests.sinks.test_load import Busy, Recording
from tests.strategies import records, text, updated, user

ARN = "arn:aws:lambda:eu-central-1:123456789012:function:sync-postgres"
EXPORT = {"export_id": "job-1", "taken_at": "2026-01-15T09:00:00.000000Z", "fields": ["email"]}


def slice_of(*lines: str) -> dict[str, Any]:
    content = gzip.compress("\n".join(lines).encode())
    return {"export": EXPORT, "lines": base64.b64encode(content).decode()}


class Refusing(Recording):
    """A store that can never take one user."""

    def apply(self, changes: Any, history: Any = ()) -> Outcome:
        """See ``Sink``."""
        return Outcome(failed={"auth0|ada": Refused("NumericValueOutOfRange 22003")})


class Down(Busy):
    """A store that is down."""

    def apply(self, changes: Any, history: Any = ()) -> Outcome:
        """See ``Sink``."""
        raise StoreDown


def function(sink: Sink | None = None) -> Sync:
    return Sync(sink or Recording(), "postgres", measure=lambda *_: None)


def test_a_slice_is_loaded_and_counted() -> None:
    said = function().load(slice_of(text(user("a|1")), "{", text(user("a|2"))))
    assert said == {
        "loaded": {"rows": 3, "applied": 2, "duplicate": 0, "stale": 0, "refused": 0, "odd": 1}, "refused": {}
    }  # fmt: skip


@pytest.mark.parametrize("line", [b"\n", b'{"user_id":"a|1"}\n', b" " * 1000 + b"\n"])
def test_a_slice_that_would_fill_the_memory_is_refused(line: bytes) -> None:
    """Less than a megabyte holds a hundred."""
    bomb = gzip.compress(line * (100_000_000 // len(line)), compresslevel=1)
    store = Recording()
    tracemalloc.start()
    try:
        with pytest.raises(SliceTooLarge):
            function(store).load({"export": EXPORT, "lines": base64.b64encode(bomb).decode()})
        assert tracemalloc.get_traced_memory()[1] < 150_000_000
    finally:
        tracemalloc.stop()
    assert store.batches == []


def test_a_refused_user_is_told_by_a_pseudonym(capsys: pytest.CaptureFixture[str]) -> None:
    said = function(Refusing()).load(slice_of(text(user("auth0|ada"))))
    assert said["loaded"]["refused"] == 1
    assert said["refused"] == {pseudonym("auth0|ada"): "Refused"}


@pytest.mark.parametrize(("sink", "error"), [(Busy(), StoreBusy), (Down(), StoreDown)])
def test_a_store_that_takes_nothing_now_fails_the_invocation(sink: Sink, error: type[Exception]) -> None:
    with pytest.raises(error):
        function(sink).load(slice_of(text(user("auth0|ada"))))


def test_the_log_has_no_personal_data() -> None:
    log = Log()
    sync = Sync(Refusing(), "postgres", log=log, measure=lambda *_: None)  # type: ignore[arg-type]  # a stand-in
    sync.load(slice_of(text(user("auth0|ada")), '{"user_id":"auth0|eve"'))
    assert [line for line, _ in log.lines] == ["user not stored", "slice"]
    said = json.dumps(log.lines)
    assert not [word for word in ("auth0|", "eve", "ada.lovelace", "Ada") if word in said]


def test_a_slice_counts_as_no_batch_and_has_no_lag() -> None:
    measured: list[object] = []
    sync = Sync(Recording(), "postgres", measure=lambda *given: measured.append(given))
    sync.load(slice_of(text(user("a|1"))))
    assert measured == []


def test_the_alias_of_the_backfill_takes_slices_alone() -> None:
    batch = {"Records": records(text(updated(user())))}
    with pytest.raises(KeyError):
        answer(function(), batch, f"{ARN}:backfill")
    assert "loaded" in answer(function(), slice_of(text(user())), f"{ARN}:backfill")


def test_the_alias_of_the_refresh_takes_no_slices() -> None:
    with pytest.raises(KeyError):
        answer(function(), slice_of(text(user())), f"{ARN}:refresh")


def test_the_queue_and_people_may_send_both() -> None:
    batch = {"Records": records(text(updated(user())))}
    assert answer(function(), batch, ARN) == {"batchItemFailures": []}
    assert "loaded" in answer(function(), slice_of(text(user())), ARN)
