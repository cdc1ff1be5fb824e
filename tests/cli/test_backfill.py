"""The command that loads an export: its uploads, its messages, its report, and its resumption."""

import gzip
import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from pipeline.auth0.exports import LONGEST
from pipeline.backfill.objects import Exports, task
from pipeline.backfill.state import Download, Downloads
from pipeline.backfill.watch import Watch
from pipeline.changes import Export, instant
from pipeline.cli import app, backfill
from pipeline.deploy import cost as costs
from pipeline.errors import CommandError, Retry
from pipeline.functions.backfill import Backfill
from pipeline.functions.sync import Sync
from pipeline.packaging import ROOT
from pipeline.progress import Quiet
from tests.cli.test_undelivered import Deployment, deployment
from tests.refresh.management_api import CLIENT_ID, CLIENT_SECRET, DOMAIN, ManagementApi
from tests.sinks.test_load import Busy, Recording
from tests.strategies import records, text, user

__all__ = ["deployment"]

pytestmark = pytest.mark.emulator

USERS = 4500
LINES = [text(user(f"auth0|{number}", user_metadata={"n": number})).encode() for number in range(USERS)]


class Sinks:
    """Both sinks' functions, in this process."""

    def __init__(self, busy: int = 0) -> None:
        self.taken = {"postgres": Recording(), "dynamodb": Recording()}
        self.busy = busy

    def __call__(self, seconds: float) -> "Sinks":
        return self

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:  # noqa: N803 - boto3's names
        self.busy -= 1
        function = Sync(Busy() if self.busy >= 0 else self.taken[FunctionName], FunctionName)
        try:
            said = json.dumps(function.load(json.loads(Payload)))
        except Retry as error:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps({"errorType": str(error)}).encode())}
        return {"Payload": io.BytesIO(said.encode())}

    def users(self, sink: str) -> int:
        return sum(number for number, _ in self.taken[sink].batches)


class World:
    """A deployment with a backfill, whose function runs when the test calls ``load``."""

    def __init__(self, on: Deployment, directory: Path) -> None:
        self.on, self.bucket = on, on.aws.bucket()
        self.url = on.queue("backfill")
        self.file = directory / "users.ndjson.gz"
        self.file.write_bytes(gzip.compress(b"\n".join([*LINES[:3], b"{", *LINES[3:], b"[]"])))

    def run(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        where = ["--deployment", self.on.name, "--bucket", self.bucket]
        result = CliRunner().invoke(app, ["backfill", *where, *arguments, "--json"])
        assert result.exit_code == code, (result.output, result.exception)
        report: dict[str, Any] = json.loads(result.stdout)
        return report

    def load(self, count: int, sinks: Sinks) -> int:
        """Receive ``count`` tasks, and let the function work on them; return the number of its failures."""
        function = Backfill(
            Exports(self.on.aws.s3, self.bucket), sinks, {"postgres": "postgres", "dynamodb": "dynamodb"}  # type: ignore[arg-type]  # a stand-in
        )  # fmt: skip
        messages = self.on.aws.messages(self.url, count)
        for message in messages:
            self.on.aws.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        answer = function(records(*(message["Body"] for message in messages)), time.monotonic() + 60)
        return len(answer["batchItemFailures"])


@pytest.fixture
def world(deployment: Deployment, tmp_path: Path) -> World:
    return World(deployment, tmp_path)


ODD = {"NotJson": {"count": 1, "first": [4]}, "UnknownShape": {"count": 1, "first": [USERS + 2]}}


def test_the_page_has_the_costs_of_a_million_users() -> None:
    whole = costs.backfill(10**6, 2560 * 10**6, 640, ["postgres", "dynamodb"])
    dynamodb = 10**6 / 10**6 * (3 * costs.DYNAMODB_WRITES + costs.DYNAMODB_READS)
    page = (ROOT / "docs" / "backfill.md").read_text()
    assert f"${dynamodb:.2f} in DynamoDB and ${whole - dynamodb:.2f} for the rest" in page


def test_a_look_reads_the_file_and_sends_nothing(world: World) -> None:
    report = world.run("--from-file", str(world.file), "--dry-run", code=3)
    assert report["read"]["odd"] == ODD
    assert (report["read"]["users"], report["read"]["slices"]) == (USERS, 3)
    assert 0.001 < report["dollars"] < 0.05
    assert "stores" not in report
    assert world.on.aws.keys(world.bucket) == []
    assert world.on.waiting(world.url) == 0


def test_an_export_is_loaded_into_both_stores(world: World) -> None:
    report = world.run("--from-file", str(world.file), "--no-wait", code=3)
    export = report["export"]
    assert report["stores"]["postgres"]["missing_slices"] == report["stores"]["dynamodb"]["missing_slices"] == 3
    keys = world.on.aws.keys(world.bucket)
    assert keys == [f"exports/{export}/{name}" for name in (*(f"00000{n}.ndjson.gz" for n in (1, 2, 3)), "export.json")]
    sinks = Sinks()
    assert world.load(6, sinks) == 0
    assert (sinks.users("postgres"), sinks.users("dynamodb")) == (USERS, USERS)
    resumed = world.run("--resume", export)
    for store in ("postgres", "dynamodb"):
        found = resumed["stores"][store]
        assert (found["rows"], found["applied"], found["missing_slices"]) == (USERS, USERS, 0)
    assert world.on.waiting(world.url) == 0


def test_it_stops_to_wait_when_the_queue_is_empty_without_a_result(world: World) -> None:
    export = world.run("--from-file", str(world.file), "--sink", "postgres", "--no-wait", code=3)["export"]
    assert world.load(3, Sinks(busy=2)) == 2
    exports = Exports(world.on.aws.s3, world.bucket)
    watch = Watch(exports, exports.cut(export), ["postgres"])
    busy = iter([True, False, True, *[False] * (backfill.IDLE + 1)])
    backfill._follow(Quiet(), watch, lambda: next(busy), lambda _: None)
    assert not list(busy)
    assert len(watch.missing("postgres")) == 2


def test_resume_sends_only_what_is_missing(world: World) -> None:
    export = world.run("--from-file", str(world.file), "--sink", "postgres", "--no-wait", code=3)["export"]
    sinks = Sinks(busy=1)
    assert world.load(3, sinks) == 1
    world.run("--resume", export, "--sink", "postgres", "--no-wait")
    assert world.on.waiting(world.url) == 1
    assert world.load(1, sinks) == 0
    assert sinks.users("postgres") == USERS
    assert world.run("--resume", export, "--sink", "postgres")["stores"]["postgres"]["applied"] == USERS


def test_slices_that_were_given_up_are_listed_and_put_back(world: World) -> None:
    world.run("--from-file", str(world.file), "--sink", "postgres", "--no-wait", code=3)
    failed = world.on.queue("backfill-failed")
    bodies = [message["Body"] for message in world.on.aws.messages(world.url, 3)]
    world.on.aws.sqs.purge_queue(QueueUrl=world.url)
    for body in bodies:
        world.on.aws.sqs.send_message(QueueUrl=failed, MessageBody=body)
    logs, group = world.on.aws.client("logs"), f"/aws/lambda/{world.on.name}-backfill"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="1")
    [listed, *_] = world.on.failed("backfill")["messages"]
    line = {"message": "slice not loaded", "message_id": listed["id"], "reason": "NotLoaded"}
    event = {"timestamp": int(time.time() * 1000), "message": json.dumps(line)}
    logs.put_log_events(logGroupName=group, logStreamName="1", logEvents=[event])
    found = world.on.failed("backfill")["messages"]
    assert sorted(one["reason"] for one in found) == ["BatchFailed", "BatchFailed", "NotLoaded"]
    assert world.on.put_back("backfill")["done"] == 3
    assert (world.on.waiting(failed), world.on.waiting(world.url)) == (0, 3)
    logs.close()


def test_fields_limit_and_time_of_the_export_reach_the_tasks(world: World) -> None:
    os.utime(world.file, (1_768_467_600, 1_768_467_600))
    world.run(
        "--from-file", str(world.file), "--limit", "2500", "--fields", "email, name,phone_number", "--no-wait", code=3
    )
    tasks = [task(message["Body"]) for message in world.on.aws.messages(world.url, 4)]
    assert {one.export.fields for one in tasks} == {("email", "name")}
    assert {one.export.taken_at for one in tasks} == {instant("2026-01-15T09:00:00Z")}
    assert sorted((one.store, one.number) for one in tasks) == [
        ("dynamodb", 1), ("dynamodb", 2), ("postgres", 1), ("postgres", 2)
    ]  # fmt: skip


def test_a_deployment_without_a_backfill_says_what_to_set(world: World) -> None:
    world.on.aws.sqs.delete_queue(QueueUrl=world.url)
    where = ["--deployment", world.on.name, "--bucket", world.bucket]
    result = CliRunner().invoke(app, ["backfill", *where, "--from-file", str(world.file)])
    assert isinstance(result.exception, CommandError)
    assert "backfill = {}" in str(result.exception)
    assert world.on.aws.keys(world.bucket) == []


@pytest.mark.parametrize(
    "arguments",
    [["--from-file", "FILE", "--resume", "x"], ["--resume", "x", "--dry-run"], ["--resume", "x", "--limit", "1"],
     ["--resume", "x", "--new"], ["--resume", "x", "--connection", "c"], ["--rate", "0"],
     ["--from-file", "FILE", "--sink", "refresh"], ["--from-file", "FILE", "--limit", "0"], ["--from-file", "/none"]],
)  # fmt: skip
def test_arguments_that_do_not_go_together_are_refused(world: World, arguments: list[str]) -> None:
    given = [str(world.file) if one == "FILE" else one for one in arguments]
    where = ["--deployment", world.on.name, "--bucket", world.bucket]
    assert CliRunner().invoke(app, ["backfill", *where, *given]).exit_code == 2


def test_a_damaged_file_is_told_before_anything_is_loaded(world: World) -> None:
    world.file.write_bytes(world.file.read_bytes()[:-2000])
    where = ["--deployment", world.on.name, "--bucket", world.bucket]
    result = CliRunner().invoke(app, ["backfill", *where, "--from-file", str(world.file)])
    assert "after line" in str(result.exception)
    assert "only a look" not in result.stdout
    assert world.on.waiting(world.url) == 0
    assert not [key for key in world.on.aws.keys(world.bucket) if key.endswith("export.json")]


def test_people_read_what_happened(world: World) -> None:
    long = b'{"user_id":"' + b"x" * LONGEST
    world.file.write_bytes(b"\n".join([*LINES[:5], long]))
    where = ["--deployment", world.on.name, "--bucket", world.bucket]
    result = CliRunner().invoke(app, ["backfill", *where, "--from-file", str(world.file), "--no-wait"])
    assert result.exit_code == 3
    said = " ".join(result.stdout.split())
    assert "5 users" in said
    assert "no user, LineTooLong: 1, in line 6" in said
    assert "auth0-sync backfill --resume" in said


class TestFromAuth0:
    """The users come from a tenant on this machine."""

    @pytest.fixture
    def auth0(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[ManagementApi]:
        api = ManagementApi()
        api.jobs.connections = {"con_0000000000000001": "Customers", "con_0000000000000002": "Staff"}
        api.jobs.looks = 1
        for number in range(USERS):
            profile = user(f"auth0|{number}", user_metadata={"n": number}, own=number)
            profile["identities"][0]["connection"] = ["Customers", "Staff"][number % 2]
            api.users[f"auth0|{number}"] = text(profile).encode()
        variables = {
            "AUTH0_DOMAIN": DOMAIN, "AUTH0_CLIENT_ID": CLIENT_ID, "AUTH0_CLIENT_SECRET": CLIENT_SECRET,
            "AUTH0_BASE_URL": api.url,
        }  # fmt: skip
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("LOG_STREAM_SOURCE", raising=False)
        yield api
        api.close()

    def test_every_user_is_exported_and_loaded(self, world: World, auth0: ManagementApi) -> None:
        report = world.run("--rate", "1000", "--no-wait")
        assert (report["read"]["users"], report["read"]["slices"], report["read"]["odd"]) == (USERS, 3, {})
        assert (report["read"]["compared"], report["read"]["missing"]) == (20, {})
        assert "not_exported" not in report
        sinks = Sinks()
        assert world.load(6, sinks) == 0
        assert (sinks.users("postgres"), sinks.users("dynamodb")) == (USERS, USERS)
        # The same command goes on with the same export until it is loaded, and the one after it starts another.
        again = world.run("--rate", "1000")
        assert again["export"] == report["export"]
        assert again["stores"]["postgres"]["applied"] == USERS
        assert len(auth0.jobs.bodies) == 1
        assert world.run("--rate", "1000", "--no-wait")["export"] != report["export"]

    def test_a_new_export_can_be_asked_for(self, world: World, auth0: ManagementApi) -> None:
        first = world.run("--rate", "1000", "--limit", "5", "--no-wait")
        assert world.run("--rate", "1000", "--limit", "5", "--no-wait", "--new")["export"] != first["export"]
        assert world.run("--rate", "1000", "--limit", "5", "--no-wait", "--fields", "x")["export"] != first["export"]

    def test_connections_and_the_limit_reach_auth0(self, world: World, auth0: ManagementApi) -> None:
        where = ["--connection", "Staff", "--connection", "Customers", "--limit", "30", "--fields", "own_too"]
        report = world.run("--rate", "1000", "--no-wait", *where)
        assert report["read"]["users"] == 30
        [body] = auth0.jobs.bodies  # the first job has all that are wanted
        assert (body["connection_id"], body["limit"]) == ("con_0000000000000001", 30)
        assert {"own", "own_too", "user_metadata", "app_metadata"} <= {field["name"] for field in body["fields"]}

    def test_a_look_counts_the_users_and_starts_no_job(self, world: World, auth0: ManagementApi) -> None:
        report = world.run("--rate", "1000", "--dry-run")["estimate"]
        assert (report["users"], report["slices"]) == (USERS, 3)
        assert 0.001 < report["dollars"] < 0.05
        assert "own" in report["fields"]
        assert world.run("--rate", "1000", "--dry-run", "--connection", "Staff")["estimate"]["users"] == USERS // 2
        assert auth0.jobs.bodies == []
        assert (world.on.aws.keys(world.bucket), world.on.waiting(world.url)) == ([], 0)
        said = self.invoke(world, "--dry-run", "--rate", "1000").stdout
        assert "4,500 users" in said
        assert "No export was started" in said

    def test_two_commands_cannot_write_the_same_slices(self, world: World, auth0: ManagementApi) -> None:
        """S3's conditional writes, by the emulator."""
        downloads = Downloads(world.on.aws.s3, world.bucket)
        download = Download(Export("x", ""), ())
        etag = downloads.put("exports/x.json", download)
        assert downloads.put("exports/x.json", replace(download, complete=True), etag) != etag
        for stale in ("", etag):
            with pytest.raises(CommandError, match="another command"):
                downloads.put("exports/x.json", download, stale)

    def invoke(self, world: World, *arguments: str) -> Any:
        where = ["--deployment", world.on.name, "--bucket", world.bucket]
        return CliRunner().invoke(app, ["backfill", *where, *arguments])

    def test_a_stop_says_how_to_go_on(
        self, world: World, auth0: ManagementApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stop(*_: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("pipeline.auth0.jobs.ExportJobs.completed", stop)
        result = self.invoke(world, "--rate", "1000")
        assert "The same command goes on where this one stopped, within 24 hours." in " ".join(result.output.split())
        assert result.exit_code != 0

    def test_a_missing_permission_is_named_first(self, world: World, auth0: ManagementApi) -> None:
        auth0.scopes = {"read:connections"}
        assert "read:users" in str(self.invoke(world).exception)
        assert auth0.jobs.bodies == []

    def test_users_of_another_tenant_do_not_come_into_the_stores(self, world: World, auth0: ManagementApi) -> None:
        source = "aws.partner/auth0.com/other-8b47abb4-0c52-4a5f-9a26-000000000000/auth0.logs"
        assert f"mirrors the tenant of {source}" in str(self.invoke(world, "--log-stream-source", source).exception)

    def test_credentials_that_are_not_set_are_named(
        self, world: World, auth0: ManagementApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AUTH0_DOMAIN")
        assert "AUTH0_DOMAIN is not set" in str(self.invoke(world).exception)
