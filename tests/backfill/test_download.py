"""The download of an export from Auth0: every user with every key, whatever breaks, and nothing twice but a slice."""

import gzip
import io
import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.auth0.api import Fetched, Gone, ManagementApi
from pipeline.auth0.credentials import Credentials
from pipeline.auth0.errors import Auth0Down, DamagedExport, JobFailed, JobGone
from pipeline.auth0.jobs import ExportJobs
from pipeline.auth0.management import Management, Refused
from pipeline.auth0.profiles import EXPORTABLE, SAMPLE, Connection, Learnt, Profiles, learn
from pipeline.auth0.settings import Auth0
from pipeline.backfill import slices
from pipeline.backfill.download import Downloader, is_open
from pipeline.backfill.objects import Cut, Exports, Task
from pipeline.backfill.state import Download, Downloads, Kept
from pipeline.changes import Export, Snapshot, exported, instant, merged
from pipeline.errors import CommandError
from pipeline.progress import Quiet
from tests.refresh.management_api import CLIENT_ID, CLIENT_SECRET, DOMAIN, Answer
from tests.refresh.management_api import ManagementApi as Server
from tests.strategies import change, updated

KEY: Final = "exports/state.json"
CONNECTIONS: Final = {"con_0000000000000001": "Customers", "con_0000000000000002": "Staff"}
MOMENT: Final = "2026-01-14T09:00:00.000Z"


class Killed(BaseException):
    """The process ends."""


class S3:
    """A bucket with S3's conditional writes; dies before the write of number ``dies_at``."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.writes: list[str] = []
        self.dies_at: int | None = None

    def put_object(self, Bucket: str, Key: str, Body: bytes, **conditions: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        there = self.objects.get(Key)
        if self.dies_at is not None and len(self.writes) >= self.dies_at:
            raise Killed
        match = "IfMatch" not in conditions or (there is not None and conditions["IfMatch"] == _etag(there))
        if not match or ("IfNoneMatch" in conditions and there is not None):
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")
        self.objects[Key] = Body
        self.writes.append(Key)
        return {"ETag": _etag(Body)}

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        body = self.objects[Key]
        return {"Body": io.BytesIO(body), "ETag": _etag(body), "LastModified": datetime.now(UTC)}


def _etag(body: bytes) -> str:
    return f'"{hash(body)}"'


class World:
    """A tenant, a bucket, and the command's download without a terminal."""

    def __init__(self, auth0: Server) -> None:
        self.auth0, self.s3 = auth0, S3()
        auth0.jobs.connections = dict(CONNECTIONS)
        auth0.jobs.looks = 1
        where, who = Auth0(DOMAIN, auth0.url), Credentials(CLIENT_ID, CLIENT_SECRET)
        self.api = Management(where, who, sleep=lambda _: None)
        self._single = ManagementApi(where, who)
        self.exports = Exports(self.s3, "b")  # type: ignore[arg-type]  # a stand-in
        self.downloads = Downloads(self.s3, "b")  # type: ignore[arg-type]  # a stand-in
        self.learnt = Learnt({}, {})

    def fetch(self, user_id: str) -> Fetched | Gone:
        return self._single.user(user_id, 1e12)

    def add(self, number: int, connection: str = "Customers", **fields: Any) -> str:
        user_id = f"auth0|{number}"
        identities = [{"provider": "auth0", "user_id": f"{number}", "connection": connection}]
        self.auth0.users[user_id] = json.dumps(
            {"user_id": user_id, "updated_at": MOMENT, "email": f"{number}@acme.example", "identities": identities}
            | fields
        ).encode()
        return user_id

    def downloader(self, limit: int | None = None) -> Downloader:
        kept = self.downloads.find(KEY)
        if kept is None or kept.download.over:
            profiles = Profiles(self.api)
            self.learnt = learn(profiles, profiles.connections(), self.fetch)
            state = Download(Export("job-1", "2026-01-15T09:00:00.000000Z"), self.learnt.fields)
            self.downloads.put_sample(state.export, self.learnt.users)
        else:
            state = kept.download
        jobs = ExportJobs(self.api, lambda _: None)
        return Downloader(self.exports, jobs, KEY, state, kept.etag if kept else "", limit=limit)

    def run(self, *connections: str, limit: int | None = None, large: int = 10_000) -> Cut:
        downloader = self.downloader(limit)
        chosen = [Connection(each, name) for each, name in CONNECTIONS.items() if name in connections]
        sample = self.downloads.sample(downloader.state.export)
        return downloader.run(chosen, self.fetch, sample, Quiet(), large)

    def loaded(self, cut: Cut) -> list[dict[str, Any]]:
        """Return the users in the slices."""
        contents = [self.exports.slice(Task(cut.export, number, "postgres")) for number in range(1, cut.slices + 1)]
        return [json.loads(line) for content in contents for line in gzip.decompress(content).splitlines()]


@pytest.fixture
def world(auth0: Server) -> World:
    return World(auth0)


@pytest.fixture
def auth0() -> Iterator[Server]:
    api = Server()
    yield api
    api.close()


@pytest.fixture
def small_slices() -> Iterator[int]:
    before = slices.USERS
    slices.USERS = 10  # type: ignore[misc]  # lower than the constant
    yield slices.USERS
    slices.USERS = before  # type: ignore[misc]  # the constant


def test_every_user_is_exported_with_every_key(world: World) -> None:
    for number in range(30):
        world.add(number, ["Customers", "Staff"][number % 2], own={"n": number}, user_metadata={"a": [number]})
    cut = world.run()
    assert world.loaded(cut) == [json.loads(body) for body in world.auth0.users.values()]
    [body] = world.auth0.jobs.bodies
    assert {field["name"] for field in body["fields"]} == {*EXPORTABLE, "own"}
    created_at = world.auth0.jobs.jobs["job_0000000000000001"]["created_at"]
    assert cut.export.taken_at == instant(created_at)  # by Auth0's clock, which is a second behind


def test_a_field_counts_as_exported_only_if_a_line_has_it(world: World) -> None:
    """Only what Auth0 exported may clear a value; the fetched user's own keys prove nothing."""
    world.auth0.jobs.never = {"blocked", "own"}
    world.add(1, own=1, blocked=True)
    cut = world.run()
    assert cut.export.fields == ("email", "identities", "updated_at", "user_id")
    assert world.loaded(cut) == [json.loads(world.auth0.users["auth0|1"])]
    report = world.downloads.find(KEY)
    assert report is not None
    assert report.download.report.missing == {"blocked": 1, "own": 1}


@settings(max_examples=25, deadline=None)
@given(never=st.sets(st.sampled_from(["email", "name", "own", "user_metadata", "app_metadata", "https://a.example/x"])))
def test_no_key_of_the_sample_is_lost_whatever_auth0_leaves_out(never: set[str]) -> None:
    """The rest of the users keep what the stores know of them, and get what was exported."""
    server = Server()
    try:
        world = World(server)
        whole = {"name": "n", "own": 1, "user_metadata": {"a": 1}, "app_metadata": {"b": 2}, "https://a.example/x": 3}
        for number in range(24):
            world.add(number, ["Customers", "Staff"][number % 2], **whole)
        server.jobs.never = never
        cut = world.run()
        found = {user["user_id"]: user for user in world.loaded(cut)}
        assert found.keys() == server.users.keys()
        for user_id in world.learnt.users:
            assert found[user_id] == json.loads(server.users[user_id])
        for user_id, user in found.items():
            truth = json.loads(server.users[user_id])
            known = change(updated(truth | {"updated_at": "2026-01-13T09:00:00.000Z"}))
            row = exported(json.dumps(user).encode(), cut.export)[0]
            for both in (merged(known, row), merged(row, known)):
                assert isinstance(both, Snapshot)
                assert json.loads(bytes(both.profile)) == truth
    finally:
        server.close()


class TestLargeUsers:
    def test_they_are_fetched(self, world: World) -> None:
        """An export that leaves out metadata of large users, as listing does beyond 1 MB."""
        world.auth0.jobs.longest = 9_000
        for number in range(SAMPLE):  # so that the large ones are not of the sample
            world.add(number)
        large = world.add(29, user_metadata={"text": "x" * 20_000}, app_metadata={"text": "y" * 20_000})
        world.add(30, user_metadata={"line": "a\nb"}, name="z" * 12_000)
        world.auth0.users["auth0|30"] = world.auth0.users["auth0|30"].replace(b", ", b",\r\n ")
        cut = world.run()
        assert large not in world.learnt.users
        assert {user["user_id"]: user for user in world.loaded(cut)}[large] == json.loads(world.auth0.users[large])
        assert {user["user_id"]: user for user in world.loaded(cut)}["auth0|30"]["user_metadata"] == {"line": "a\nb"}
        kept = world.downloads.find(KEY)
        assert kept is not None
        assert kept.download.report.missing == {"user_metadata": 2}

    def test_those_who_are_gone_are_left_out(self, world: World) -> None:
        for number in range(3):
            world.add(number, name="z" * 12_000)
        downloader = world.downloader()
        found = downloader.run([], lambda user_id: Gone(datetime.now(UTC)), {}, Quiet())
        assert (found.users, downloader.state.report.gone) == (0, 3)

    def test_a_later_state_of_the_export_is_kept(self, world: World) -> None:
        """The sample was fetched before the job."""
        user_id = world.add(1, own=1)
        downloader = world.downloader()
        sample = dict(world.learnt.users)
        world.add(1, updated_at="2026-01-14T10:00:00.000Z")
        found = downloader.run([], world.fetch, sample, Quiet())
        assert world.loaded(found) == [json.loads(world.auth0.users[user_id])]

    def test_one_whom_auth0_does_not_give_out_can_be_loaded_as_exported(self, world: World) -> None:
        """The user's request fails for good, as it may for one whom Auth0 cannot answer in time."""
        for number in range(12):
            world.add(number, name="z" * (12_000 if number == 3 else 1))
        world.auth0.always["auth0|3"] = Answer(503)
        with pytest.raises(CommandError, match=r"a user of 12,\d{3} bytes .* --fetch-above 12\d{3}"):
            world.run()
        cut = world.run(large=13_000)
        assert world.loaded(cut)[3] == json.loads(world.auth0.users["auth0|3"])
        assert len(world.auth0.jobs.bodies) == 1

    def test_an_outage_teaches_no_fields(self, world: World) -> None:
        for number in range(3):
            world.add(number)
            world.auth0.always[f"auth0|{number}"] = Answer(503)
        with pytest.raises(Auth0Down):
            world.run()
        assert world.auth0.jobs.bodies == []

    def test_zero_fetches_everyone(self, world: World) -> None:
        world.auth0.jobs.never = {"own"}
        for number in range(15):
            world.add(number, own=number)
        assert [user["own"] for user in world.loaded(world.run(large=0))] == [*range(15)]


class TestGoingOn:
    def test_a_kill_at_any_write_repeats_one_slice_at_most(self, world: World, small_slices: int) -> None:
        for number in range(64):
            fat = {"name": "z" * 12_000} if number % 9 == 0 else {}
            world.add(number, ["Customers", "Staff"][number % 2], **fat)
        world.auth0.jobs.most = 9  # jobs whose ids were lost run on
        kills, fetched = 0, list[str]()
        fetch = world.fetch

        def noted(user_id: str) -> Fetched | Gone:
            fetched.append(user_id)
            return fetch(user_id)

        world.fetch = noted  # type: ignore[method-assign]  # the same, with a list of the requests
        while True:
            # The two writes are the sample and the state, a slice and its state, or a state and a slice.
            world.s3.dies_at = len(world.s3.writes) + 2
            try:
                cut = world.run("Customers", "Staff")
                break
            except Killed:
                kills += 1
        assert kills > 7
        assert [user["user_id"] for user in world.loaded(cut)] == [
            f"auth0|{number}" for rest in (0, 1) for number in range(rest, 64, 2)
        ]
        written = [key for key in world.s3.writes if key.endswith(".gz")]
        assert all(written.count(key) <= 2 for key in written)
        # Each kill is either after a slice or after its state: a slice is written again only in the first case.
        assert len(world.auth0.jobs.bodies) <= 4
        large = [user_id for user_id in fetched if len(world.auth0.users[user_id]) > 10_000]
        assert max(large.count(user_id) for user_id in large) <= 4

    def test_a_started_job_is_gone_on_with(self, world: World) -> None:
        world.add(1)
        world.s3.dies_at = 2  # the sample and the state with the job
        with pytest.raises(Killed):
            world.run()
        world.s3.dies_at = None
        world.run()
        assert len(world.auth0.jobs.bodies) == 1

    def test_a_failed_job_is_followed_by_another_one(self, world: World) -> None:
        world.add(1)
        world.auth0.jobs.fails = {"details": "no", "errors": []}
        with pytest.raises(JobFailed):
            world.run()
        world.auth0.jobs.fails = None
        assert world.run().users == 1
        assert len(world.auth0.jobs.bodies) == 2

    def test_a_job_that_has_expired_is_followed_by_another_one(self, world: World) -> None:
        world.add(1)
        world.s3.dies_at = 2
        with pytest.raises(Killed):
            world.run()
        world.s3.dies_at = None
        world.auth0.jobs.jobs.clear()
        with pytest.raises(JobGone, match="starts another one"):
            world.run()
        assert world.run().users == 1

    def test_a_damaged_file_is_followed_by_another_job(self, world: World) -> None:
        world.add(1)
        world.s3.dies_at = 2
        with pytest.raises(Killed):
            world.run()
        world.s3.dies_at = None
        [job_id] = world.auth0.jobs.files
        world.auth0.jobs.files[job_id] = world.auth0.jobs.files[job_id][:-9]
        with pytest.raises(DamagedExport):
            world.run()
        assert world.run().users == 1
        assert len(world.auth0.jobs.bodies) == 2

    def test_two_commands_do_not_mix_their_slices(self, world: World, small_slices: int) -> None:
        for number in range(30):
            world.add(number)
        first, second = world.downloader(), world.downloader()
        first.run([], world.fetch, {}, Quiet())
        with pytest.raises(CommandError, match="another command downloads the same export"):
            second.run([], world.fetch, {}, Quiet())

    @pytest.mark.parametrize(("hours", "over", "open_"), [(1, False, True), (25, False, False), (1, True, False)])
    def test_auth0_keeps_a_job_for_a_day(self, hours: int, over: bool, open_: bool) -> None:
        now = datetime.now(UTC)
        download = Download(Export("job-1", ""), (), over=over)
        assert is_open(Kept(download, "", now - timedelta(hours=hours)), now) is open_


def test_the_limit_is_that_of_all_jobs(world: World, small_slices: int) -> None:
    for number in range(40):
        world.add(number, ["Customers", "Staff"][number % 2])
    assert world.run("Customers", "Staff", limit=25).users == 25
    assert [body["limit"] for body in world.auth0.jobs.bodies] == [25, 25]


def test_one_connection_is_exported_alone(world: World) -> None:
    for number in range(6):
        world.add(number, ["Customers", "Staff"][number % 2])
    assert [user["user_id"] for user in world.loaded(world.run("Staff"))] == ["auth0|1", "auth0|3", "auth0|5"]
    assert [body["connection_id"] for body in world.auth0.jobs.bodies] == ["con_0000000000000002"]


def test_fields_that_auth0_refuses_are_told_and_left_out(world: World) -> None:
    world.auth0.jobs.refused = {"own"}
    world.add(1, own=1)
    cut = world.run()
    assert "own" in world.loaded(cut)[0]  # of the sample
    kept = world.downloads.find(KEY)
    assert kept is not None
    assert kept.download.unnamed == ("own",)
    assert {*kept.download.fields} == {*EXPORTABLE}


def test_a_user_who_nests_a_value_is_one_of_the_sample(world: World) -> None:
    """The value is deeper than the decoder follows in Python 3.11."""
    user_id = world.add(1)
    body = b'{"user_id": "auth0|1", "own": ' + b"[" * 5000 + b"]" * 5000 + b"}"
    profiles, export = Profiles(world.api), Export("job-1", "")
    learnt = learn(profiles, profiles.connections(), lambda _: Fetched(user_id, body, datetime.now(UTC)))
    assert learnt.seen == {"user_id", "own"}
    world.downloads.put_sample(export, learnt.users)
    assert world.downloads.sample(export) == {user_id: body}


def test_other_refusals_are_errors(world: World) -> None:
    world.auth0.jobs.refused = {"email"}
    with pytest.raises(Refused, match="Payload validation error"):
        world.run()


def test_lines_that_are_no_users_are_told_over_all_jobs(world: World, small_slices: int) -> None:
    for number in range(15):
        world.add(number, "Customers")
    for number in range(15, 30):
        world.add(number, "Staff", **({"updated_at": None} if number == 27 else {}))
    world.run("Customers", "Staff")
    kept = world.downloads.find(KEY)
    assert kept is not None
    assert [(name, odd.first) for name, odd in kept.download.report.odd.items()] == [("BadTimestamp", [28])]
    assert [job.first for job in kept.download.jobs] == [0, 15]


def test_memory_does_not_grow_with_the_file(world: World) -> None:
    def peak(number: int) -> int:
        world.s3.objects.clear()
        world.s3.put_object = lambda **_: {"ETag": ""}  # type: ignore[method-assign]  # keeps nothing
        line = json.dumps({"user_id": "auth0|1", "updated_at": MOMENT, "name": "x" * 2000}).encode() + b"\n"
        world.auth0.jobs.files = {}
        downloader = world.downloader()
        job = downloader._jobs.start(["user_id"], "", None)
        world.auth0.jobs.files[job.id] = gzip.compress(line * number)
        downloader._jobs.start = lambda *_: job  # type: ignore[method-assign]  # the job that has the file
        tracemalloc.start()
        downloader.run([], world.fetch, {}, Quiet())
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2000)
    assert peak(20_000) < peak(5_000) * 1.5 + 1_000_000
