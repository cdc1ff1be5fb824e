"""Export jobs: requested as Auth0 documents, followed to their end, and their file read to its end."""

import gzip
import io
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import msgspec
import pytest
from auth0.management import ManagementClient

from pipeline.auth0.api import Fetched, Gone, ManagementApi
from pipeline.auth0.credentials import Credentials
from pipeline.auth0.download import TRIES, ExportFile
from pipeline.auth0.errors import JobFailed, JobGone, NotDownloaded
from pipeline.auth0.jobs import BUSY_SECONDS, ExportJobs
from pipeline.auth0.management import Management, MissingScopes, Refused
from pipeline.auth0.profiles import EXPORTABLE, SCOPES, Connection, Profiles, learn
from pipeline.auth0.settings import Auth0
from pipeline.errors import CommandError

from .management_api import CLIENT_ID, CLIENT_SECRET, DOMAIN, Answer
from .management_api import ManagementApi as Server
from .test_streams import Waits, management

ALL, ONE = "", "con_0000000000000001"


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def api(auth0: Server, waits: Waits) -> Management:
    return management(auth0, waits)


@pytest.fixture
def jobs(api: Management, waits: Waits) -> ExportJobs:
    return ExportJobs(api, waits.sleep)


@pytest.fixture
def fetch(auth0: Server) -> Callable[[str], Fetched | Gone]:
    found = ManagementApi(Auth0(DOMAIN, auth0.url), Credentials(CLIENT_ID, CLIENT_SECRET))
    return lambda user_id: found.user(user_id, 1e12)


class TestJobs:
    def test_a_job_names_its_fields_and_has_a_limit_only_if_it_is_wanted(self, auth0: Server, jobs: ExportJobs) -> None:
        auth0.jobs.connections[ONE] = "Customers"
        jobs.start(["user_id", "user_metadata"], ALL, None)
        jobs.start(["user_id"], ONE, 7)
        assert auth0.jobs.bodies == [
            {"format": "json", "fields": [{"name": "user_id"}, {"name": "user_metadata"}]},
            {"format": "json", "fields": [{"name": "user_id"}], "connection_id": ONE, "limit": 7},
        ]

    def test_the_request_is_that_of_the_sdk(self, auth0: Server, jobs: ExportJobs) -> None:
        auth0.jobs.connections[ONE] = "Customers"
        jobs.start(["user_id", "email"], ONE, 7)
        sent: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            sent.append(request)
            return httpx.Response(200, json={"id": "job_1", "status": "pending", "type": "users_export"})

        client = ManagementClient(
            domain=DOMAIN, token="t", httpx_client=httpx.Client(transport=httpx.MockTransport(answer))
        )
        client.jobs.users_exports.create(
            connection_id=ONE, format="json", limit=7, fields=[{"name": "user_id"}, {"name": "email"}]
        )
        assert json.loads(sent[0].content) == auth0.jobs.bodies[0]
        assert sent[0].url.path == "/api/v2/jobs/users-exports"

    def test_a_job_is_followed_with_progress_and_growing_pauses(
        self, auth0: Server, jobs: ExportJobs, waits: Waits
    ) -> None:
        auth0.jobs.looks = 12
        told: list[str] = []
        job = jobs.completed(jobs.start(["user_id"], ALL, None).id, told.append)
        assert job.status == "completed"
        assert "processing, 40 %, 1 min 30 s left" in told
        assert waits.slept == sorted(waits.slept)
        assert (waits.slept[0], waits.slept[-1]) == (1.0, 30.0)

    def test_a_failed_job_says_why_without_the_users(self, auth0: Server, jobs: ExportJobs) -> None:
        failure = {"code": "INTERNAL", "message": "could not\n write", "path": "x"}
        errors = [{"user": {"email": "ada@acme.example"}, "errors": [failure] * 9}]
        auth0.jobs.fails = {"details": "the export\n timed out", "errors": errors}
        with pytest.raises(JobFailed, match=r"failed: the export timed out; INTERNAL: could not write\. Run") as caught:
            jobs.completed(jobs.start(["user_id"], ALL, None).id, lambda _: None)
        assert "ada@" not in str(caught.value)

    def test_a_failed_job_without_a_reason(self, auth0: Server, jobs: ExportJobs) -> None:
        auth0.jobs.fails = {"details": "", "errors": []}
        with pytest.raises(JobFailed, match="Auth0 gives no reason"):
            jobs.completed(jobs.start(["user_id"], ALL, None).id, lambda _: None)

    def test_a_job_that_auth0_has_forgotten(self, jobs: ExportJobs) -> None:
        with pytest.raises(JobGone, match="for 24 hours"):
            jobs.completed("job_0", lambda _: None)

    def test_a_job_waits_for_those_of_others(self, auth0: Server, jobs: ExportJobs, waits: Waits) -> None:
        auth0.jobs.most = 1
        first = jobs.start(["user_id"], ALL, None)
        told: list[str] = []

        def tell(text: str) -> None:
            told.append(text)
            jobs.completed(first.id, lambda _: None)

        assert jobs.start(["user_id"], ALL, None, tell).id != first.id
        assert told == ["Auth0 runs other jobs; next try in 30 s"]

    def test_a_job_does_not_wait_for_ever(self, auth0: Server, jobs: ExportJobs, waits: Waits) -> None:
        auth0.jobs.most = 0
        with pytest.raises(Refused, match="active export users jobs"):
            jobs.start(["user_id"], ALL, None)
        assert sum(waits.slept) == BUSY_SECONDS

    def test_a_rate_limit_is_waited_for(self, auth0: Server, jobs: ExportJobs, waits: Waits) -> None:
        auth0.next_answers.append(Answer(429, b'{"errorCode":"too_many_requests"}', {"Retry-After": "7"}))
        jobs.start(["user_id"], ALL, None)
        assert waits.slept == [7]

    def test_missing_scopes_are_named(self, auth0: Server, api: Management) -> None:
        auth0.scopes = {"read:connections"}
        with pytest.raises(MissingScopes, match="read:users"):
            api.require(SCOPES)


class TestFields:
    def test_they_are_auth0s_and_those_of_the_sample_of_each_connection(
        self, auth0: Server, api: Management, fetch: Callable[[str], Fetched | Gone]
    ) -> None:
        for number in range(150):  # more than a page
            auth0.jobs.connections[f"con_{number:016}"] = f'C "{number}" \\'
            identities = [{"provider": "auth0", "user_id": f"{number}", "connection": f'C "{number}" \\'}]
            more = {f"own_{number}": 1, "https://acme.example/role": 2}
            for place in range(2):
                auth0.add(f"auth0|{number}-{place}", identities=identities, **more)
        profiles = Profiles(api)
        assert len(profiles.connections()) == 150
        learnt = learn(profiles, profiles.connections()[-3:], fetch)
        assert [*learnt.keys] == [f'C "{number}" \\' for number in (147, 148, 149)]
        assert {*learnt.users} == {f"auth0|{number}-{place}" for number in (147, 148, 149) for place in (0, 1)}
        # `x` is a field of the sample, too; a name that is a path cannot be exported.
        assert {*learnt.fields} == {*EXPORTABLE, "own_147", "own_148", "own_149", "x"}

    def test_users_who_are_gone_meanwhile_are_left_out(self, auth0: Server, api: Management) -> None:
        auth0.jobs.connections[ONE] = "Customers"
        auth0.add("auth0|1", identities=[{"provider": "auth0", "user_id": "1", "connection": "Customers"}])
        learnt = learn(Profiles(api), [Connection(ONE, "Customers")], lambda _: Gone(datetime.now(UTC)))
        assert (learnt.users, learnt.keys, learnt.fields) == ({}, {}, EXPORTABLE)

    def test_a_user_of_any_depth_is_learnt(self, auth0: Server, api: Management) -> None:
        auth0.jobs.connections[ONE] = "Customers"
        auth0.add("auth0|1", identities=[{"provider": "auth0", "user_id": "1", "connection": "Customers"}])
        body = b'{"user_id":"auth0|1","own":' + b"[" * 30_000 + b"]" * 30_000 + b"}"
        fetched = Fetched("auth0|1", body, datetime.now(UTC))
        learnt = learn(Profiles(api), [Connection(ONE, "Customers")], lambda _: fetched)
        assert learnt.seen == {"user_id", "own"}

    def test_users_are_counted(self, auth0: Server, api: Management) -> None:
        for number, name in enumerate(["A", "B", "B"]):
            auth0.add(f"auth0|{number}", identities=[{"provider": "x", "user_id": "1", "connection": name}])
        assert Profiles(api).count() == 3
        assert Profiles(api).count(Connection(ONE, "B")) == 2

    def test_a_connection_goes_by_name_or_id(self, auth0: Server, api: Management) -> None:
        auth0.jobs.connections |= {ONE: "Customers", "con_0000000000000002": "Staff"}
        assert [one.name for one in Profiles(api).named(["Staff", ONE])] == ["Customers", "Staff"]
        with pytest.raises(CommandError, match=r"has no connection Staf\. It has Customers, Staff\."):
            Profiles(api).named(["Staf"])


class TestDownload:
    @pytest.fixture
    def content(self, auth0: Server, jobs: ExportJobs) -> bytes:
        """The file of a job, of half a megabyte."""
        job = jobs.completed(jobs.start(["user_id"], ALL, None).id, lambda _: None)
        auth0.jobs.files[job.id] = gzip.compress(random.Random(1).randbytes(500_000))
        return auth0.jobs.files[job.id]

    def read(self, jobs: ExportJobs, waits: Waits) -> tuple[bytes, ExportFile]:
        download = ExportFile(lambda: jobs.location("job_0000000000000001"), sleep=waits.sleep)
        with io.BufferedReader(download) as file:
            return file.read(), download

    def test_it_sends_no_token(self, auth0: Server, jobs: ExportJobs, waits: Waits, content: bytes) -> None:
        read, download = self.read(jobs, waits)
        assert read == content
        assert (download.place, download.size) == (len(content), len(content))

    def test_it_goes_on_where_a_connection_broke(
        self, auth0: Server, jobs: ExportJobs, waits: Waits, content: bytes
    ) -> None:
        auth0.jobs.breaks = [0, 1, 100_000, 65_536]
        assert self.read(jobs, waits)[0] == content
        ranges = [range_ for _, range_ in auth0.jobs.downloads]
        assert len(ranges) == 5
        assert ranges[-1].startswith("bytes=")

    def test_it_asks_for_a_new_link_when_one_has_expired(
        self, auth0: Server, jobs: ExportJobs, waits: Waits, content: bytes
    ) -> None:
        auth0.jobs.link_seconds = -1
        links = iter([*[jobs.location("job_0000000000000001")] * 2])
        auth0.jobs.link_seconds = 60

        def location() -> str:
            return next(links, None) or jobs.location("job_0000000000000001")

        with io.BufferedReader(ExportFile(location, sleep=waits.sleep)) as file:
            assert file.read() == content
        assert waits.slept[-2:] == [1, 2]

    def test_it_gives_up_with_the_place(self, auth0: Server, jobs: ExportJobs, waits: Waits, content: bytes) -> None:
        auth0.jobs.breaks = [70_000, *[0] * TRIES]
        with pytest.raises(NotDownloaded, match=r"beyond byte 70,000 .*Run this again; it goes on") as caught:
            self.read(jobs, waits)
        assert "Signature" not in str(caught.value)

    def test_another_file_is_not_added_to_the_first(
        self, auth0: Server, jobs: ExportJobs, waits: Waits, content: bytes
    ) -> None:
        auth0.jobs.breaks = [70_000]
        download = ExportFile(lambda: jobs.location("job_0000000000000001"), sleep=waits.sleep)
        with download, io.BufferedReader(download) as file:
            file.read(60_000)
            auth0.jobs.files["job_0000000000000001"] = b"another"
            with pytest.raises(NotDownloaded, match="has changed"):
                file.read()

    def test_it_reads_no_file_in_the_clear(self) -> None:
        with pytest.raises(NotDownloaded, match="not on HTTPS"):
            ExportFile(lambda: "http://files.example/1").readinto(memoryview(bytearray(9)))

    def test_an_empty_file_is_empty(self, auth0: Server, jobs: ExportJobs, waits: Waits, content: bytes) -> None:
        auth0.jobs.files["job_0000000000000001"] = b""
        assert self.read(jobs, waits)[0] == b""


def test_the_job_of_the_sdk_has_the_fields_that_are_read() -> None:
    from auth0.management.types import GetJobResponseContent

    from pipeline.auth0.jobs import Job

    known = {*GetJobResponseContent.model_fields}
    assert {field.name for field in msgspec.structs.fields(Job)} <= known
