"""The backfill function: a slice from the bucket, through the function of its store, to a result in the bucket."""

import base64
import gzip
import io
import json
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from pipeline.backfill.load import Loaded
from pipeline.backfill.objects import LARGEST, Cut, Exports, Result, Task, task
from pipeline.backfill.watch import Watch
from pipeline.changes import Export
from pipeline.errors import CommandError, UnknownShape
from pipeline.functions.backfill import Backfill
from tests.strategies import Json, records, text, user

EXPORT = Export("20260115T090000Z", "2026-01-15T09:00:00.000000Z", ("email",))
SLICE = gzip.compress(text(user()).encode())


class Bucket:
    """Objects by key, as S3 has them for a role that may not list the bucket."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.absent = "AccessDenied"

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> Json:  # noqa: N803 - boto3's names
        self.objects[Key] = Body
        return {}

    def get_object(self, *, Bucket: str, Key: str) -> Json:  # noqa: N803 - boto3's names
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": self.absent}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[Key])}

    def get_paginator(self, operation: str) -> "Bucket":
        assert operation == "list_objects_v2"
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> list[Json]:  # noqa: N803 - boto3's names
        keys = sorted(key for key in self.objects if key.startswith(Prefix))
        return [{"Contents": [{"Key": key}]} for key in keys] or [{}]


class Functions:
    """The sinks' functions, which all return ``answer``."""

    def __init__(self) -> None:
        self.invoked: list[tuple[str, Json, float]] = []
        self.answer: Any = {"loaded": {"rows": 1, "applied": 1}, "refused": {}}
        self.failed = False
        self._seconds = 0.0

    def __call__(self, seconds: float) -> "Functions":
        self._seconds = seconds
        return self

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Json:  # noqa: N803 - boto3's names
        self.invoked.append((FunctionName, json.loads(Payload), self._seconds))
        if isinstance(self.answer, Exception):
            raise self.answer
        body = io.BytesIO(json.dumps(self.answer).encode())
        return {"Payload": body} | ({"FunctionError": "Unhandled"} if self.failed else {})


class World:
    def __init__(self) -> None:
        self.bucket, self.functions, self.log = Bucket(), Functions(), Log()
        self.exports = Exports(self.bucket, "archive")  # type: ignore[arg-type]  # a stand-in
        self.exports.put_slice(EXPORT, 3, SLICE)
        sinks = {"postgres": "sync-postgres:backfill", "dynamodb": "sync-dynamodb:backfill"}
        made: Any = Backfill(self.exports, self.functions, sinks, clock=lambda: 100.0, log=self.log)  # type: ignore[arg-type]  # stand-ins
        self.function = made

    def invoke(self, *bodies: str) -> list[str]:
        answer = self.function(records(*bodies), deadline=150.0)
        return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


class Log:
    """Keeps the logged lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Json]] = []

    def info(self, line: str, extra: Json) -> None:
        self.lines.append((line, extra))

    error = info


@pytest.fixture
def world() -> World:
    return World()


def body(number: int = 3, store: str = "postgres", export: Export = EXPORT, written: int | None = None) -> str:
    return msgspec.json.encode(Task(export, number, store, written)).decode()


def test_a_slice_goes_to_the_function_of_its_store_and_has_a_result(world: World) -> None:
    assert world.invoke(body(), body(store="dynamodb")) == []
    assert [(name, seconds) for name, _, seconds in world.functions.invoked] == [
        ("sync-postgres:backfill", 50.0), ("sync-dynamodb:backfill", 50.0)
    ]  # fmt: skip
    sent = world.functions.invoked[0][1]
    assert base64.b64decode(sent["lines"]) == SLICE
    assert msgspec.convert(sent["export"], Export) == EXPORT
    watch = Watch(world.exports, Cut(EXPORT, 3, 3), ["postgres", "dynamodb"])
    watch.look()
    assert watch.loaded == dict.fromkeys(("postgres", "dynamodb"), Loaded(rows=1, applied=1))
    assert watch.missing("postgres") == [1, 2]


def test_an_object_that_no_invocation_takes_is_not_read_to_its_end(world: World) -> None:
    world.exports.put_slice(EXPORT, 3, b"x" * (2 * LARGEST))
    assert world.invoke(body()) == ["m0"]
    assert world.functions.invoked == []
    assert world.log.lines[0][1]["reason"] == "UnknownShape"
    assert 4 * -(-LARGEST // 3) < 6 << 20


@pytest.mark.parametrize(
    ("answer", "failed", "reason"),
    [
        ({"errorType": "StoreDown"}, True, "StoreDown"),
        (None, True, "FunctionError"),
        (ReadTimeoutError(endpoint_url="x"), False, "ReadTimeoutError"),
        (ClientError({"Error": {"Code": "TooManyRequestsException"}}, "Invoke"), False, "TooManyRequestsException"),
    ],
)
def test_a_slice_that_is_not_stored_is_delivered_again(world: World, answer: Any, failed: bool, reason: str) -> None:
    world.functions.answer, world.functions.failed = answer, failed
    assert world.invoke(body()) == ["m0"]
    [(_, extra)] = world.log.lines
    assert (extra["reason"], reason in extra["detail"]) == ("NotLoaded", True)
    assert not [key for key in world.bucket.objects if "results" in key]


def test_of_a_slice_that_a_bulk_put_wrote_in_part_only_the_rest_is_loaded(world: World) -> None:
    rest = gzip.compress(text(user("auth0|rest")).encode())
    world.exports.put_rest(EXPORT, 3, rest)
    assert world.invoke(body(store="dynamodb", written=1999)) == []
    [(function, payload, _)] = world.functions.invoked
    assert (function, base64.b64decode(payload["lines"])) == ("sync-dynamodb:backfill", rest)
    key = f"exports/{EXPORT.export_id}/results/dynamodb/000003.json"
    assert json.loads(world.bucket.objects[key])["loaded"]["rows"] == 2000


def test_a_slice_that_is_gone_is_delivered_again_and_told(world: World) -> None:
    assert world.invoke(body(4), body()) == ["m0"]
    assert [extra.get("reason") for _, extra in world.log.lines] == ["NotRead", None]
    assert "AccessDenied" in world.log.lines[0][1]["detail"]


@pytest.mark.parametrize(
    "odd",
    [
        "{", "{}", "[]", body(0), body(-1), body(store="oracle"), body(written=-1),
        body(export=Export("../logs/dt=2026-01-15", EXPORT.taken_at)), body(export=Export("", EXPORT.taken_at)),
        body(export=Export("a/b", EXPORT.taken_at)), body(export=Export("x" * 65, EXPORT.taken_at)),
    ],
)  # fmt: skip
def test_a_message_that_is_no_task_fails_and_invokes_nothing(world: World, odd: str) -> None:
    assert world.invoke(odd) == ["m0"]
    assert world.log.lines[0][1]["reason"] == "UnknownShape"
    assert world.functions.invoked == []


def test_a_task_is_read_as_it_was_written() -> None:
    assert task(body()) == Task(EXPORT, 3, "postgres")
    with pytest.raises(UnknownShape):
        task(body().replace("20260115T090000Z", "20260115T090000Z/.."))


def test_progress_tells_rate_and_time_left(world: World) -> None:
    times = iter([0.0, 10.0])
    watch = Watch(world.exports, Cut(EXPORT, 4, 4000), ["postgres"], clock=lambda: next(times))
    watch.look()
    assert not watch.done
    refused = {"0123456789abcdef": "Refused"}
    world.exports.put_result(Task(EXPORT, 1, "postgres"), Result(Loaded(1000, 999, refused=1), refused))
    watch.look()
    assert watch.progress() == "postgres 1,000 of 4,000, 100/s, 30 s left"
    assert watch.refused == {"postgres": refused}
    for number in (2, 3, 4):
        world.exports.put_result(Task(EXPORT, number, "postgres"), Result(Loaded(1000, 1000)))
    watch.look()
    assert watch.done


def test_only_a_complete_export_can_be_resumed(world: World) -> None:
    world.bucket.absent = "NoSuchKey"
    for name in (EXPORT.export_id, "../x", ""):
        with pytest.raises(CommandError, match="no complete export"):
            world.exports.cut(name)
    world.exports.put_cut(Cut(EXPORT, 3, 3))
    assert world.exports.cut(EXPORT.export_id) == Cut(EXPORT, 3, 3)
