"""The bulk put into DynamoDB: its items, its condition, who is left to the sink, and what a refused or killed one says.

botocore checks the requests by AWS's service model; the stand-in reads S3 and evaluates the conditions by the emulator.
"""

import base64
import gzip
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import botocore
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from pipeline.auth0.exports import changes as users_in
from pipeline.backfill.bulk import BulkPut, Phase
from pipeline.backfill.load import load
from pipeline.backfill.objects import Cut, Exports
from pipeline.changes import Export
from pipeline.cli import app
from pipeline.cli.backfill_file import FromFile
from pipeline.doctor.synthetic import USER
from pipeline.errors import CommandError
from pipeline.functions.backfill import Backfill
from pipeline.packaging import ROOT
from pipeline.progress import Quiet
from pipeline.reconcile.dynamodb import DynamoDBUsers
from pipeline.sinks.dynamodb import DynamoDBSink
from tests.backfill.bulk_model import DATA_PATH
from tests.backfill.bulk_server import BulkServer, Refused
from tests.cli.test_backfill import Sinks
from tests.cli.test_undelivered import Deployment, deployment
from tests.emulator.support import users_table
from tests.sinks.test_load import Recording
from tests.strategies import Json, changes, deleted, records, text, updated, user
from tests.threads import meanwhile

__all__ = ["deployment"]

BEFORE, MOMENT, AFTER = (f"2026-01-15T09:00:0{second}.000Z" for second in (1, 2, 3))
"""Before the users' last change in the export, at it, and after it."""
VARYING = ("synced_at", "expires_at")
"""Attributes of an item that have the time of its writing."""
FIELDS = ("user_id", "updated_at", "email", "username", "user_metadata")


class TableSinks(Sinks):
    """The sinks' functions, DynamoDB's with the real sink."""

    def __init__(self, sink: DynamoDBSink) -> None:
        self.taken: dict[str, Any] = {"postgres": Recording(), "dynamodb": sink}
        self.busy = 0
        self.lines = 0

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:  # noqa: N803 - boto3's names
        if FunctionName == "dynamodb":
            self.lines += len(lines_of(json.loads(Payload)))
        return super().invoke(FunctionName=FunctionName, Payload=Payload)


def lines_of(payload: Json) -> list[bytes]:
    return gzip.decompress(base64.b64decode(payload["lines"])).splitlines()


class World:
    """A deployment with a backfill, whose functions run beside the command."""

    def __init__(self, on: Deployment, server: BulkServer, directory: Path) -> None:
        self.on, self.server, self.bucket = on, server, on.aws.bucket()
        self.url = on.queue("backfill")
        self.table = users_table(server.dynamodb, f"{on.name}-users")
        self.sink = DynamoDBSink(server.dynamodb, self.table, threads=4)
        self.sinks = TableSinks(self.sink)
        self.file = directory / "users.ndjson"
        self.said = ""
        """The output of the last run, in one line."""
        self.smoke(BEFORE)

    def smoke(self, date: str) -> None:
        """Leave the table as the smoke test does."""
        self.sink.apply(changes(deleted(USER, date=date)))

    def run(self, *arguments: str, code: int = 0) -> Any:
        where = ["--deployment", self.on.name, "--bucket", self.bucket]
        with self._functions():
            result = CliRunner().invoke(app, ["backfill", *where, *arguments])
        assert result.exit_code == code, (result.output, result.exception)
        self.said = " ".join(result.stdout.split())
        return result.exception if code == 1 else result.stdout

    @contextmanager
    def _functions(self) -> Iterator[None]:
        sqs = self.on.aws.sqs
        exports: Any = Exports(self.on.aws.s3, self.bucket)
        sinks: Any = self.sinks
        function = Backfill(exports, sinks, {"postgres": "postgres", "dynamodb": "dynamodb"})

        def work(done: threading.Event) -> None:
            while not done.is_set():
                for message in sqs.receive_message(QueueUrl=self.url, WaitTimeSeconds=1).get("Messages", []):
                    function(records(message["Body"]), time.monotonic() + 60)
                    sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

        with meanwhile(work):
            yield

    def write(self, *profiles: Json) -> None:
        self.file.write_text("\n".join(map(text, profiles)))

    def stored(self, table: str = "") -> dict[str, Json]:
        """Return the items by user id, without the times of their writing."""
        pages = self.server.dynamodb.get_paginator("scan").paginate(TableName=table or self.table)
        found = [item for page in pages for item in page["Items"]]
        return {item["user_id"]["S"]: {key: item[key] for key in item if key not in VARYING} for item in found}

    def keys(self, part: str) -> list[str]:
        return [key for key in self.on.aws.keys(self.bucket) if f"/bulk/{part}" in key]

    def put(self) -> BulkPut:
        """Return the bulk put of an export of the file, which is in the bucket."""
        exports = Exports(self.on.aws.s3, self.bucket)
        cut = FromFile(self.file, FIELDS, (), None, dry_run=False).get(Quiet(), exports)
        return self.again(cut)

    def again(self, cut: Cut, **options: Any) -> BulkPut:
        client: Any = boto3.client("dynamodb")
        return BulkPut(Exports(self.on.aws.s3, self.bucket), cut, client, self.table, **options)

    def users(self) -> DynamoDBUsers:
        return DynamoDBUsers(self.server.dynamodb, self.server.dynamodb, self.table, contents=False)


@pytest.fixture
def world(deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    server = BulkServer(deployment.aws)
    world = World(deployment, server, tmp_path)
    for variable, value in {"AWS_ENDPOINT_URL_DYNAMODB": server.url, "USERS_TABLE": world.table}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("AWS_DATA_PATH", str(DATA_PATH))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps the models that it has read
    yield world
    world.sink.close()
    server.close()


def deep(levels: int) -> Any:
    return [deep(levels - 1)] if levels else []


def export_of_all_kinds() -> list[Json]:
    """Return users whom the table lacks, and each kind that a bulk put cannot load."""
    return [
        *(user(f"auth0|new{number}", MOMENT, user_metadata={"n": number}) for number in range(20)),
        *(user(f"auth0|{kind}", MOMENT, name="export") for kind in ("newer", "older", "same", "deleted", "refused")),
        user("auth0|twice", MOMENT),
        user("auth0|twice", AFTER),
        user("auth0|ahead", "2999-01-01T00:00:00.000Z"),
        user("auth0|large", MOMENT, user_metadata={"text": "é" * 250_000}),
        user("auth0|odd", MOMENT, user_metadata={"": 1e300, "deep": deep(40), "n": 1.50}),
    ]


EVENTS = [
    updated(user("auth0|newer", AFTER, name="event")),
    updated(user("auth0|older", BEFORE, name="event", blocked=True)),
    updated(user("auth0|same", MOMENT, name="event")),
    deleted("auth0|deleted", date=AFTER),
]


@pytest.mark.emulator
class TestCommand:
    def test_the_table_is_as_after_conditional_puts(self, world: World) -> None:
        profiles = export_of_all_kinds()
        world.write(*profiles)
        world.sink.apply(changes(*EVENTS))
        world.server.refused_users = {"auth0|refused"}
        said = world.run("--from-file", str(world.file), "--fields", ",".join(FIELDS), "--bulk")
        other = users_table(world.server.dynamodb)
        sink = DynamoDBSink(world.server.dynamodb, other, threads=4)
        sink.apply(changes(deleted(USER, date=BEFORE), *EVENTS))
        exports = Exports(world.on.aws.s3, world.bucket)
        export = exports.cut(world.keys("items/")[0].split("/")[1]).export
        load(sink, (text(profile).encode() for profile in profiles), export)
        sink.close()
        assert world.stored() == world.stored(other)
        assert world.sinks.taken["postgres"].batches[0][0] == len(profiles) - 1  # of the user who is there twice, one
        # Only those whom the bulk put could not write: newer, older, same, deleted, refused, ahead.
        assert world.sinks.lines == 6
        assert f"dynamodb: rows {len(profiles)}, applied" in said
        assert "1 refused, which the sink's function tries again" in said
        assert "AWS bills a bulk put by its bytes" in " ".join(said.split())
        assert [token.rsplit("-", 2)[1] for token in world.server.started] == ["condition", "items"]
        page = (ROOT / "docs" / "backfill.md").read_text()
        [rights] = re.findall(r"^\| rights \| `dynamodb:(.*?) on the table", page, re.MULTILINE)
        assert set(re.findall(r"\w{7,}", rights)) == world.server.asked

    def test_a_table_without_these_users_needs_no_function(self, world: World) -> None:
        world.write(*(user(f"auth0|{number}", MOMENT) for number in range(30)))
        said = world.run("--from-file", str(world.file), "--bulk", "--sink", "dynamodb")
        assert "dynamodb: rows 30, applied 30" in said
        assert world.sinks.lines == 0
        assert len(world.stored()) == 31
        assert world.keys("rest/") == []

    def test_it_can_be_left_and_gone_on_with(self, world: World) -> None:
        world.write(user("auth0|1", MOMENT))
        said = world.run("--from-file", str(world.file), "--bulk", "--no-wait")
        export = said.split("--resume ")[1].split()[0]
        assert said.rstrip().endswith(f"auth0-sync backfill --resume {export} --bulk")
        assert "dynamodb: rows 1, applied 1" in world.run("--resume", export, "--bulk")
        assert len(world.server.operations) == 2
        started = len(world.server.started)
        world.run("--resume", export, "--bulk")  # all is loaded
        assert len(world.server.started) == started

    def test_an_older_botocore_is_told_before_anything_is_read(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AWS_DATA_PATH")
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        world.write(user("auth0|1", MOMENT))
        error = world.run("--from-file", str(world.file), "--bulk", code=1)
        assert f"needs botocore 1.44.8 or later, and {botocore.__version__} is installed" in str(error)
        assert "pip install --upgrade 'boto3>=1.44.8'" in str(error)
        assert world.on.aws.keys(world.bucket) == []

    @pytest.mark.parametrize(
        ("refuses", "said"),
        [
            (("UnknownOperationException", ""), "DynamoDB refused the bulk put: UnknownOperationException:"),
            (
                ("ValidationException", "The table is part of a global table."),
                "part of a global table. Without --bulk",
            ),
        ],
    )
    def test_a_refusal_is_told_with_the_way_without(self, world: World, refuses: tuple[str, str], said: str) -> None:
        world.write(user("auth0|1", MOMENT))
        world.server.refuses = refuses
        error = world.run("--from-file", str(world.file), "--bulk", code=1)
        assert said in str(error)
        assert "Without --bulk the command loads the same users by conditional puts" in str(error)
        assert world.stored().keys() == {USER}

    def test_the_table_of_another_deployment_is_refused_before_anything_is_read(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.write(user("auth0|1", MOMENT))
        other = users_table(world.server.dynamodb)
        monkeypatch.setenv("USERS_TABLE", other)
        error = str(world.run("--from-file", str(world.file), "--bulk", code=1))
        assert f"USERS_TABLE is {other}, and the table of the deployment {world.on.name} is {world.table}" in error
        assert 'eval "$(auth0-sync env --env …)"' in error
        assert world.on.aws.keys(world.bucket) == []
        assert world.server.asked == set()
        assert world.stored(other) == {}

    @pytest.mark.parametrize("arguments", [("--sink", "postgres"), ("--dry-run",)])
    def test_options_that_do_not_go_together_are_refused(self, world: World, arguments: tuple[str, ...]) -> None:
        world.write(user("auth0|1", MOMENT))
        world.run("--from-file", str(world.file), "--bulk", *arguments, code=2)


@pytest.mark.emulator
class TestCondition:
    """A bulk put that ignores conditions would replace newer users: the command tries it on the smoke test's user."""

    def test_an_ignored_condition_ends_the_command_before_a_user_is_put(self, world: World) -> None:
        world.write(user("auth0|1", MOMENT))
        world.server.evaluates = False
        error = world.run("--from-file", str(world.file), "--bulk", code=1)
        assert "did not evaluate the condition" in str(error)
        assert "replaced: True" in str(error)
        assert world.stored().keys() == {USER}

    def test_so_does_a_line_that_dynamodb_cannot_read(self, world: World) -> None:
        world.write(user("auth0|1", MOMENT))
        world.server.keys = {"Item"}
        error = world.run("--from-file", str(world.file), "--bulk", code=1)
        assert "failed: (1, 1); replaced: False" in str(error)
        assert world.stored().keys() == {USER}
        assert world.sinks.lines == 0

    def test_it_needs_the_user_of_the_smoke_test(self, world: World) -> None:
        world.server.dynamodb.delete_item(TableName=world.table, Key={"user_id": {"S": USER}})
        world.write(user("auth0|1", MOMENT))
        assert "auth0-sync smoke, then this again" in str(world.run("--from-file", str(world.file), "--bulk", code=1))
        assert world.server.started == []

    def test_a_trial_that_was_killed_is_not_the_proof_of_the_next(self, world: World) -> None:
        world.write(user("auth0|1", MOMENT))
        world.server.evaluates = False
        put = world.put()
        with pytest.raises(Killed):
            put.prove(USER, At(killed))  # DynamoDB has replaced the item
        world.smoke(AFTER)
        again = world.again(put._cut)
        with pytest.raises(CommandError, match="did not evaluate the condition"):
            again.prove(USER, Quiet())
        assert not again.state.proven
        assert len(set(world.server.started)) == 2

    @pytest.mark.parametrize("change", ["gone", "changed"])
    def test_an_item_that_is_not_as_before_proves_nothing(self, world: World, change: str) -> None:
        world.write(user("auth0|1", MOMENT))
        key = {"user_id": {"S": USER}}

        def work(_: float) -> None:
            if change == "gone":
                world.server.dynamodb.delete_item(TableName=world.table, Key=key)
            else:
                world.smoke(AFTER)

        put = world.put()
        with pytest.raises(CommandError, match="replaced: True"):
            put.prove(USER, At(work))
        assert not put.state.proven
        world.smoke(AFTER)
        put.prove(USER, Quiet())  # a later trial is not spoilt by this one
        assert put.state.proven


class Killed(BaseException):
    """The command is killed."""


def killed(_: float) -> None:
    raise Killed


class At(Quiet):
    """A step that does something at each update, as if another process did it then."""

    def __init__(self, work: Callable[[float], None]) -> None:
        self._work = work

    def update(self, text: str) -> None:
        self._work(0)


@pytest.mark.emulator
class TestResumption:
    def prepared(self, world: World, users: int = 10) -> BulkPut:
        world.write(*(user(f"auth0|{number}", MOMENT) for number in range(users)))
        put = world.put()
        put.prove(USER, Quiet())
        put.put_objects(Quiet())
        return put

    def test_a_killed_command_goes_on_with_the_same_bulk_put(self, world: World) -> None:
        cut = self.prepared(world)._cut
        before = self.versions(world)
        world.server.batch = 3
        put = world.again(cut, sleep=killed)
        put.start()
        with pytest.raises(Killed):
            put.follow(Quiet())
        put = world.again(cut, sleep=lambda _: None)
        put.prove(USER, Quiet())
        put.put_objects(Quiet())
        put.start()
        put.follow(Quiet())
        assert len(world.server.operations) == 2
        assert self.versions(world) == before
        assert put.rest([1], world.users().read, Quiet()) == []

    def test_the_token_finds_a_bulk_put_whose_start_was_not_noted(self, world: World) -> None:
        put = self.prepared(world)
        put.start()
        put._save(replace(put.state, arn=""))
        again = world.again(put._cut)
        again.start()
        assert again.state.arn
        assert len(world.server.operations) == 2
        assert world.server.started[-1] == world.server.started[-2]

    def test_objects_are_never_written_again(self, world: World) -> None:
        put = self.prepared(world)
        before = self.versions(world)
        put._save(type(put.state)(proven=True))  # killed before it noted that all are written
        world.again(put._cut).put_objects(Quiet())
        assert self.versions(world) == before

    def test_a_failed_bulk_put_is_told_and_another_one_can_be_started(self, world: World) -> None:
        put = self.prepared(world)
        put.start()
        [operation] = [one for token, one in world.server.operations.items() if "-items-" in token]
        operation.ends_as = "FAILED"
        with pytest.raises(CommandError, match="ended as FAILED: S3AccessDenied: no right to read the bucket"):
            put.follow(Quiet())
        again = world.again(put._cut)
        again.start()
        again.follow(Quiet())
        assert len(world.server.operations) == 3
        assert again.rest([1], world.users().read, Quiet()) == []

    def test_a_bulk_put_that_aws_forgot_is_over(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        put = self.prepared(world)
        put.start()
        self.forget(world, monkeypatch, looks=99)
        again = world.again(put._cut, sleep=lambda _: None)
        again.start()
        again.follow(Quiet())
        [task] = again.rest([1], world.users().read, Quiet())
        assert task.written == 0  # the stand-in puts at a look, and had none
        assert again.phase is Phase.OVER

    def test_a_bulk_put_that_aws_does_not_know_yet_is_waited_for(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put = world.again(self.prepared(world)._cut, sleep=lambda _: None)
        put.start()
        self.forget(world, monkeypatch, looks=2)
        put.follow(Quiet())
        assert put.rest([1], world.users().read, Quiet()) == []

    def forget(self, world: World, monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
        """Let DynamoDB not find bulk puts at the next looks."""
        left, describe = [None] * looks, world.server.describe

        def described(*arguments: Any, **options: Any) -> Json:
            if left:
                left.pop()
                raise Refused("ResourceNotFoundException", "there is no such bulk operation")
            return describe(*arguments, **options)

        monkeypatch.setattr(world.server, "describe", described)

    def test_another_table_is_refused(self, world: World) -> None:
        put = self.prepared(world)
        client: Any = boto3.client("dynamodb")
        with pytest.raises(CommandError, match=f"is for the table {world.table}, and USERS_TABLE is other-users"):
            BulkPut(Exports(world.on.aws.s3, world.bucket), put._cut, client, "other-users")

    def test_a_proof_for_a_table_that_is_not_known_counts_for_nothing(self, world: World) -> None:
        put = self.prepared(world)
        put._save(replace(put.state, table=""))
        assert not world.again(put._cut).state.proven

    def test_a_slice_that_was_erased_is_told(self, world: World) -> None:
        cut = self.prepared(world)._cut
        world.on.aws.s3.delete_object(Bucket=world.bucket, Key=f"exports/{cut.export.export_id}/000001.ndjson.gz")
        with pytest.raises(CommandError, match="slice 1 of the export is gone"):
            world.again(cut).rest([1], world.users().read, Quiet())
        assert "/results/" not in "".join(world.on.aws.keys(world.bucket))

    def test_an_event_between_the_bulk_put_and_the_look_is_merged_by_the_sink(self, world: World) -> None:
        put = self.prepared(world)
        put.start()
        put.follow(Quiet())
        world.sink.apply(changes(updated(user("auth0|3", AFTER, name="event"))))
        [task] = put.rest([1], world.users().read, Quiet())
        assert task.written == 9
        exports = Exports(world.on.aws.s3, world.bucket)
        [row] = users_in(gzip.decompress(exports.slice(task)).splitlines(), task.export)
        assert getattr(row.found, "user_id", "") == "auth0|3"

    def versions(self, world: World) -> list[tuple[str, str]]:
        found = world.on.aws.s3.list_objects_v2(Bucket=world.bucket)["Contents"]
        return [(one["Key"], str(one["LastModified"])) for one in found if "/bulk/items/" in one["Key"]]

    def test_an_export_of_too_many_objects_is_refused(self, world: World) -> None:
        with pytest.raises(CommandError, match="50,000 objects, and the export has 50,001"):
            world.again(Cut(Export("x", "2026-01-15T09:30:00.000000Z"), 50_001, 1))


@pytest.mark.emulator
class TestWhatIsSaidAfterAStop:
    def export(self, world: World) -> str:
        [found] = {key.split("/")[1] for key in world.on.aws.keys(world.bucket)}
        return found

    def test_nothing_was_started(self, world: World) -> None:
        world.write(user("auth0|1", MOMENT))
        world.server.refuses = ("ValidationException", "The table is part of a global table.")
        world.run("--from-file", str(world.file), "--bulk", code=1)
        again = f"auth0-sync backfill --resume {self.export(world)} --bulk"
        assert "Nothing was sent, and no bulk put is known to have started. To repeat it" in world.said
        assert world.said.endswith(f"(without --bulk, by conditional puts): {again}")
        assert "goes on without" not in world.said

    def test_the_bulk_put_failed(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        world.write(user("auth0|1", MOMENT))
        start = BulkPut.start

        def started(put: BulkPut) -> None:
            start(put)
            [operation] = [one for token, one in world.server.operations.items() if "-items-" in token]
            operation.ends_as = "FAILED"

        monkeypatch.setattr(BulkPut, "start", started)
        world.run("--from-file", str(world.file), "--bulk", code=1)
        again = f"auth0-sync backfill --resume {self.export(world)} --bulk"
        assert world.said.endswith(
            f"No bulk put runs any more. To start another one (without --bulk, to go on by conditional puts): {again}"
        )

    def test_the_bulk_put_runs(self, world: World) -> None:
        world.write(user("auth0|1", MOMENT))
        world.run("--from-file", str(world.file), "--bulk", "--no-wait")
        assert "The bulk put goes on without this command" in world.said

    def test_the_bulk_put_is_over(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        world.write(user("auth0|1", MOMENT))

        def rest(*_: Any) -> None:
            raise CommandError("the comparison failed")

        monkeypatch.setattr(BulkPut, "rest", rest)
        world.run("--from-file", str(world.file), "--bulk", code=1)
        assert "The bulk put is over. To see how far the sink is" in world.said
