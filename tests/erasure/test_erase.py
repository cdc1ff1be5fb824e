"""erase removes a person from every place of a deployment, and leaves others' data unchanged, byte for byte."""

import base64
import gzip
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from typer.testing import CliRunner

from pipeline.archive.records import Erased
from pipeline.cli import app
from pipeline.delivery import dead_letters
from pipeline.erasure.archive import Archive, erase_events, erase_failed_events, find
from pipeline.erasure.objects import RewritableBucket, content_lines
from pipeline.erasure.person import Person
from tests.archive import CATALOG
from tests.cli.foreign_world import run as typed
from tests.emulator.support import REGION, Aws, name, users_table

pytestmark = pytest.mark.emulator

MARKER = "5f7c8ec7c33c6c004bbafe82"
USER, EMAIL = f"auth0|{MARKER}", "ann.leaves@acme.example"
PERSON = Person(USER, [EMAIL])
NEEDLES = (MARKER, EMAIL)


def line(number: int, **data: Any) -> bytes:
    data = {"date": "2026-01-15", "n": "é" * number} | data
    return json.dumps({"id": f"e{number}", "detail": {"data": data}}).encode()


ABOUT = [
    line(1, user_id=USER, type="s"),
    line(2, user_name=EMAIL),
    line(3, path=f"/api/v2/users/{quote(USER, safe='')}"),
    line(4, user_id="auth0|admin", details={"body": json.dumps({"email": EMAIL.upper()})}),
]
OTHERS = [
    line(5, user_id="auth0|bob"),
    line(6, user_name="jo" + EMAIL),
    line(7, user_id=f"auth0|{MARKER}0"[::-1]),
    b'{"id": "spaces",   "detail": {"x": 1.0e2, "y": "\\u00e9"}}',
    b"not JSON \xff",
    line(5, user_id="auth0|bob"),
]


def failed(event: bytes) -> bytes:
    return json.dumps({"errorCode": "S3.KMS.AccessDenied", "rawData": base64.b64encode(event).decode()}).encode()


class World:
    """A deployment's stores, bucket and queues, with a person in all of them."""

    def __init__(self, aws: Aws) -> None:
        self.aws, self.name = aws, name("auth0-sync")
        self.s3, self.bucket = aws.s3, aws.bucket()
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        self.table = users_table(aws.client("dynamodb"))
        self.database, self.workgroup = name("db").replace("-", "_"), name("work")
        self._make_athena()

    def _make_athena(self) -> None:
        glue, location = self.aws.glue, f"s3://{self.bucket}/logs/"
        glue.create_database(DatabaseInput={"Name": self.database})
        table = CATALOG["tables"]["lines"]
        columns = [{"Name": column["name"], "Type": column["type"]} for column in table["columns"]]
        serde = {"SerializationLibrary": table["serde"]["library"], "Parameters": table["serde"]["parameters"]}
        storage = {"Columns": columns, "Location": location, "SerdeInfo": serde}
        template = f"{location}dt=${{dt}}/hour=${{hour}}/"
        projected = {"projection.dt.range": "2026-01-01,NOW", "storage.location.template": template}
        keys = [{"Name": key["name"], "Type": key["type"]} for key in CATALOG["partition_keys"]]
        about = {"Name": "lines", "TableType": "EXTERNAL_TABLE", "StorageDescriptor": storage}
        glue.create_table(
            DatabaseName=self.database,
            TableInput=about | {"PartitionKeys": keys, "Parameters": CATALOG["parameters"] | projected},
        )
        results = {"ResultConfiguration": {"OutputLocation": f"s3://{self.bucket}/athena-results/"}}
        self.aws.athena.create_work_group(Name=self.workgroup, Configuration=results)

    def put(self, key: str, lines: Sequence[bytes], *, compress: bool = True, **options: Any) -> str:
        """Write an object as Firehose does, in two members of gzip."""
        parts = [b"".join(one + b"\n" for one in part) for part in (lines[:2], lines[2:])]
        body = b"".join(gzip.compress(part) if compress else part for part in parts)
        put = self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **options)
        return str(put["VersionId"])

    def fill(self) -> None:
        """Put the person and others into the bucket."""
        self.put("logs/dt=2026-01-15/hour=09/mixed.json.gz", [OTHERS[0], *ABOUT, *OTHERS[1:]], Metadata={"a": "b"})
        self.put("logs/dt=2026-01-15/hour=10/others.json.gz", OTHERS)
        self.put("logs/dt=2026-01-16/hour=00/person.json.gz", ABOUT)
        self.put("logs/dt=2026-01-16/hour=01/plain.json", [ABOUT[0], OTHERS[0]], compress=False)
        self.put("logs/dt=2026-01-16/hour=02/again.json.gz", [ABOUT[0], OTHERS[0]])
        self.put("logs/dt=2026-01-16/hour=02/again.json.gz", [OTHERS[0]])  # a run that ended before it deleted
        self.put("logs/dt=2026-01-16/hour=03/expired.json.gz", [ABOUT[1], OTHERS[1]])
        self.s3.delete_object(Bucket=self.bucket, Key="logs/dt=2026-01-16/hour=03/expired.json.gz")
        self.put("errors/x/dt=2026-01-15/hour=09/e.json.gz", [failed(OTHERS[0]), failed(ABOUT[0]), failed(ABOUT[2])])
        for key in ("athena-results/1.csv", "exports/all.csv"):
            self.put(key, [b'"user_id"', f'"{USER}"'.encode()], compress=False)
        self.put("athena-results/2.csv", [b'"user_id"', b'"auth0|bob"'], compress=False)

    def contents(self) -> dict[tuple[str, str], bytes]:
        """Return every version of every object, uncompressed, by key and version."""
        found = {}
        for page in self.s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket):
            for one in page.get("Versions", []):
                answer = self.s3.get_object(Bucket=self.bucket, Key=one["Key"], VersionId=one["VersionId"])
                body = answer["Body"].read()
                found[one["Key"], one["VersionId"]] = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        return found

    def current(self, prefix: str) -> Counter[bytes]:
        """Return the lines of the current objects below a prefix, without results of Athena."""
        lines: Counter[bytes] = Counter()
        for one in self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", []):
            if one["Key"].startswith("athena-results/"):
                continue
            body = self.s3.get_object(Bucket=self.bucket, Key=one["Key"])["Body"].read()
            lines.update(content_lines(body))
        return lines

    def archive(self, s3: Any = None) -> Archive:
        objects = RewritableBucket(s3 or self.s3, self.bucket)
        return Archive(objects, "logs/", "errors/", self.aws.athena, self.database, self.workgroup)

    def lines(self) -> set[bytes]:
        """Return the different lines of others in every version of every object, deleted ones included."""
        found = {
            line for (key, _), content in self.contents().items() if "athena" not in key for line in io.BytesIO(content)
        }
        return set(others(Counter(found)))


@pytest.fixture
def world(aws: Aws) -> World:
    made = World(aws)
    made.fill()
    return made


def others(lines: Counter[bytes]) -> Counter[bytes]:
    """Return the lines that are not about the person, as this file made them."""
    about = {one + b"\n" for event in ABOUT for one in (event, failed(event))}
    return Counter({one: number for one, number in lines.items() if one not in about})


def mentions(content: bytes) -> bool:
    """Return True if a byte of the person is there, also in base64."""
    plain = [content]
    for one in io.BytesIO(content):
        try:
            plain.append(base64.b64decode(json.loads(one)["rawData"]))
        except (ValueError, KeyError, TypeError):
            continue
    return any(needle.encode() in one.lower() for needle in NEEDLES for one in plain)


def test_athena_names_the_objects(world: World) -> None:
    found = find(world.archive(), PERSON)
    assert found >= {
        "logs/dt=2026-01-15/hour=09/mixed.json.gz",
        "logs/dt=2026-01-16/hour=00/person.json.gz",
        "logs/dt=2026-01-16/hour=01/plain.json",
    }
    assert "logs/dt=2026-01-16/hour=02/again.json.gz" not in found


def test_a_look_changes_nothing(world: World) -> None:
    before = world.contents()
    place = erase_events(world.archive(), PERSON, None, lambda _: None)
    assert (place.found, place.erased) == (9, 0)
    assert {one: content for one, content in world.contents().items() if "athena" not in one[0]} == {
        one: content for one, content in before.items() if "athena" not in one[0]
    }


def test_lines_about_the_person_are_gone_from_every_version_and_others_are_there(world: World) -> None:
    before = {prefix: others(world.current(prefix)) for prefix in ("logs/", "errors/")}
    recorded: list[Erased] = []
    for erase, number in ((erase_events, 9), (erase_failed_events, 2)):
        place = erase(world.archive(), PERSON, recorded.extend, lambda _: None)
        assert (place.found, place.erased) == (number, number)
    for prefix, lines in before.items():
        assert world.current(prefix) == lines
    for (key, _), content in world.contents().items():
        if key.startswith(("logs/", "errors/")):
            assert not any(map(PERSON.concerns_failed, content.splitlines())), key
    assert sorted(one.key.rpartition("/")[2] for one in recorded) == [
        "e.json.gz", "expired.json.gz", "mixed.json.gz", "person.json.gz", "plain.json",
    ]  # fmt: skip
    assert [one.after is None for one in recorded if "person" in one.key] == [True]
    kept = world.s3.get_object(Bucket=world.bucket, Key="logs/dt=2026-01-15/hour=09/mixed.json.gz")
    assert kept["Metadata"] == {"a": "b"}
    again = erase_events(world.archive(), PERSON, recorded.extend, lambda _: None)
    assert (again.found, again.erased, len(recorded)) == (0, 0, 5)


class Killed(BaseException):
    """The process is gone."""


def killed_after(aws: Aws, requests: int) -> Any:
    """Return a client whose process dies before a request."""
    s3, left = aws.client("s3"), iter(range(requests))

    def die(**_: Any) -> None:
        if next(left, None) is None:
            raise Killed

    s3.meta.events.register("before-call.s3", die)
    return s3


@pytest.mark.parametrize("erase", [erase_events, erase_failed_events])
def test_killed_at_any_request_nothing_is_lost_and_the_next_run_ends_it(aws: Aws, erase: Callable[..., Any]) -> None:
    requests = 0
    while True:
        world = World(aws)
        world.put("logs/dt=2026-01-15/hour=09/mixed.json.gz", [ABOUT[0], OTHERS[0], ABOUT[1], OTHERS[1]])
        world.put("logs/dt=2026-01-15/hour=10/person.json.gz", ABOUT)
        world.put("errors/x/e.json.gz", [failed(OTHERS[0]), failed(ABOUT[0])])
        for key, event in (("logs/dt=2026-01-15/hour=11/d.json.gz", bytes), ("errors/x/d.json.gz", failed)):
            world.put(key, [event(ABOUT[2]), event(OTHERS[2])])
            world.s3.delete_object(Bucket=world.bucket, Key=key)
        before, everywhere = others(world.current("")), world.lines()
        try:
            erase(world.archive(killed_after(aws, requests)), PERSON, lambda _: None, lambda _: None)
        except Killed:
            assert others(world.current("")) >= before
            assert world.lines() >= everywhere
        else:
            break
        erase(world.archive(), PERSON, lambda _: None, lambda _: None)
        assert others(world.current("")) >= before
        assert world.lines() == everywhere
        prefix = "logs/" if erase is erase_events else "errors/"
        for (key, _), content in world.contents().items():
            assert not key.startswith(prefix) or not any(map(PERSON.concerns_failed, content.splitlines()))
        requests += 1
    assert requests >= 5


def test_an_old_version_with_lines_that_the_object_lacks_stays_and_is_named(world: World) -> None:
    key = "logs/dt=2026-01-16/hour=02/again.json.gz"
    version = world.put(key, [ABOUT[0], OTHERS[1]])
    world.put(key, [OTHERS[0]])
    place = erase_events(world.archive(), PERSON, lambda _: None, lambda _: None)
    assert any(version in problem for problem in place.problems)
    assert (key, version) in world.contents()


@pytest.mark.parametrize("broken", [b"\x1f\x8bbroken", gzip.compress(ABOUT[0] * 99)[:-20]])
def test_an_object_that_cannot_be_read_is_named_and_stays(world: World, broken: bytes) -> None:
    world.s3.put_object(Bucket=world.bucket, Key="errors/x/broken.json.gz", Body=broken)
    place = erase_failed_events(world.archive(), PERSON, lambda _: None, lambda _: None)
    assert any("broken.json.gz cannot be decompressed" in problem for problem in place.problems)
    assert place.erased == 2
    assert world.s3.get_object(Bucket=world.bucket, Key="errors/x/broken.json.gz")["Body"].read() == broken


def test_a_deleted_object_stays_deleted_and_can_be_restored_without_the_person(world: World) -> None:
    key = "logs/dt=2026-01-16/hour=03/expired.json.gz"
    erase_events(world.archive(), PERSON, lambda _: None, lambda _: None)
    with pytest.raises(world.s3.exceptions.NoSuchKey):
        world.s3.get_object(Bucket=world.bucket, Key=key)
    assert [content for (one, _), content in world.contents().items() if one == key] == [OTHERS[1] + b"\n"]


def test_nothing_changes_that_cannot_be_recorded(world: World) -> None:
    def refuses(_rewrites: Any) -> None:
        raise RuntimeError

    before = world.contents()
    with pytest.raises(RuntimeError):
        erase_failed_events(world.archive(), PERSON, refuses, lambda _: None)
    assert world.contents() == before


def test_an_object_that_changes_meanwhile_is_not_overwritten(world: World) -> None:
    def meanwhile(rewrites: Sequence[Erased]) -> None:
        world.put(rewrites[0].key, [OTHERS[3]])

    with pytest.raises(world.s3.exceptions.ClientError, match="PreconditionFailed"):
        erase_failed_events(world.archive(), PERSON, meanwhile, lambda _: None)
    assert world.current("errors/")[OTHERS[3] + b"\n"] == 1


# The command


@pytest.fixture
def deployment(world: World, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(dead_letters, "WAIT", 0)
    variables = {
        "AWS_ENDPOINT_URL": world.aws.emulator.endpoint,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "DATABASE_URL": postgres_url,
        "USERS_TABLE": world.table,
        "DEPLOYMENT": world.name,
        "ARCHIVE_BUCKET": world.bucket,
        "ARCHIVE_PREFIX": "logs/",
        "ARCHIVE_ERROR_PREFIX": "errors/",
        "ATHENA_DATABASE": world.database,
        "ATHENA_WORKGROUP": world.workgroup,
    }
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    for variable in ("SOURCE_REGION", "ARCHIVE_LOCK_DAYS", "MANIFEST_FUNCTION"):
        monkeypatch.delenv(variable, raising=False)
    return world


def rows(url: str, *, live: bool = False) -> None:
    """Write the person and Bob to Postgres: rows, history about them, and history by them."""
    with psycopg.connect(url) as connection:
        for user_id, deleted in ((USER, None if live else "2026-01-15"), ("auth0|bob", None)):
            connection.execute(
                "INSERT INTO auth0.user_rows (user_id, version, source, event_id, updated_at, deleted_at, email) "
                "VALUES (%s, 'v', 'auth0.logs', 'e', '2026-01-15', %s, %s)",
                [user_id, deleted, EMAIL if live and user_id == USER else None],
            )
        for version, user_id, actor in (("1", USER, "auth0|bob"), ("2", "auth0|bob", USER), ("3", "auth0|bob", None)):
            connection.execute(
                "INSERT INTO auth0.user_history (user_id, version, changed_at, user_metadata, app_metadata, actor, ip, "
                "source, event_id) VALUES (%s, %s, '2026-01-15', '{}', '{}', %s, '203.0.113.9', 'auth0.logs', 'e')",
                [user_id, version, actor],
            )


def items(world: World, *, live: bool = False) -> None:
    item = {"user_id": {"S": USER}, "version": {"S": "v"}} | ({} if live else {"deleted_at": {"S": "2026-01-15"}})
    world.aws.client("dynamodb").put_item(TableName=world.table, Item=item)


def run(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["erase", USER, "--identifier", EMAIL, *arguments, "--json"])
    assert result.exit_code == code, (result.output, result.exception)
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def test_the_person_is_everywhere_and_afterwards_nowhere(deployment: World, postgres_url: str) -> None:
    rows(postgres_url)
    items(deployment)
    sqs = deployment.aws.client("sqs")
    queues = {
        which: sqs.create_queue(QueueName=f"{deployment.name}-{which}")["QueueUrl"]
        for which in ("postgres", "postgres-failed", "archive-undelivered")
    }
    for url in queues.values():
        for body in (ABOUT[0].decode(), OTHERS[0].decode()):
            sqs.send_message(QueueUrl=url, MessageBody=body)

    looked = run()
    assert looked["erased"] is False
    found = {place["name"]: place["found"] for place in looked["places"]}
    assert found == {
        "Postgres, users": 1,
        "Postgres, user_history about the user": 1,
        "Postgres, user_history by the user": 1,
        "DynamoDB": 1,
        "queues": 2,
        "archive, logs/": 9,
        "archive, errors/": 2,
        "archive, athena-results/ and exports/": 2,
    }

    erased = run("--yes", "--tombstones")
    assert {place["name"]: place["erased"] for place in erased["places"]} == found | {"queues": 3}
    assert [place for place in erased["places"] if place["problems"]] == []
    assert {one["where"] for one in erased["remains"]} >= {"Aurora", "DynamoDB", "Athena"}

    with psycopg.connect(postgres_url) as connection:
        for table in ("user_rows", "user_history"):
            text = str(connection.execute(f"SELECT * FROM auth0.{table}").fetchall())
            assert not any(needle in text for needle in NEEDLES)
        history = connection.execute("SELECT actor, ip FROM auth0.user_history ORDER BY actor").fetchall()
    assert history == [("erased", None), (None, "203.0.113.9")]
    assert "Item" not in deployment.aws.client("dynamodb").get_item(
        TableName=deployment.table, Key={"user_id": {"S": USER}}
    )
    for url in queues.values():
        [left] = deployment.aws.messages(url, 1)
        assert left["Body"] == OTHERS[0].decode()
    for (key, _), content in deployment.contents().items():
        lines = content.splitlines()
        assert not any(map(PERSON.concerns_failed, lines)), key
        assert not mentions(b"\n".join(one for one in lines if b"jo" + EMAIL.encode() not in one)), key
    assert {place["found"] for place in run()["places"]} == {0}


def test_a_user_who_is_not_deleted_is_not_erased(deployment: World, postgres_url: str) -> None:
    rows(postgres_url, live=True)
    items(deployment, live=True)
    before = deployment.contents()
    result = CliRunner().invoke(app, ["erase", EMAIL, "--yes"])
    assert result.exit_code == 1
    assert "Delete the user in Auth0" in str(result.exception)
    assert deployment.contents() == before
    assert run(code=3)["places"][0]["problems"]


def test_tombstones_stay_until_they_are_asked_for(deployment: World, postgres_url: str) -> None:
    rows(postgres_url)
    items(deployment)
    places = {place["name"]: place for place in run("--yes")["places"]}
    for place in (places["Postgres, users"], places["DynamoDB"]):
        assert (place["found"], place["erased"]) == (1, 0)
        assert "--tombstones" in place["kept"]


def test_an_address_of_nobody(deployment: World) -> None:
    result = CliRunner().invoke(app, ["erase", "nobody@acme.example"])
    assert result.exit_code == 1
    assert "--identifier" in str(result.exception)


@pytest.mark.parametrize("answer", ["", "yes", USER.upper()])
def test_only_the_user_id_confirms(deployment: World, postgres_url: str, answer: str) -> None:
    rows(postgres_url)
    before = deployment.contents()
    printed = typed("erase", USER, on_terminal=True, answer=f"{answer}\n")
    assert printed.code == 1
    assert "Not confirmed" in printed.err
    assert {key: content for key, content in deployment.contents().items() if key in before} == before


def test_who_confirms_erases(deployment: World, postgres_url: str) -> None:
    rows(postgres_url)
    printed = typed("erase", USER, on_terminal=True, answer=f"{USER}\n")
    assert printed.code == 0, printed.err
    assert not any(
        key.startswith("logs/") and MARKER.encode() in body for (key, _), body in deployment.contents().items()
    )


def test_a_look_and_an_erasure_exclude_each_other(deployment: World) -> None:
    assert CliRunner().invoke(app, ["erase", USER, "--yes", "--dry-run"]).exit_code == 2
