"""The manifest function and `auth0-sync verify` on the emulator: S3 with versions, and a key of KMS."""

import json
import re
import subprocess
import tracemalloc
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from pipeline.archive.rearchive import rearchive
from pipeline.archive.records import Erased
from pipeline.cli import app
from pipeline.delivery import Sent
from pipeline.functions import manifest
from tests.emulator.support import Aws
from tests.refresh.support import Context

pytestmark = pytest.mark.emulator

LOGS = Path(__file__).parents[2] / "docs/logs.md"
TODAY = datetime.now(UTC).date()


def days_ago(days: int) -> date:
    return TODAY - timedelta(days=days)


@dataclass
class Deployed:
    """An archive, and the function's environment."""

    aws: Aws
    bucket: str
    key: str
    monkeypatch: pytest.MonkeyPatch

    def put(self, key: str, body: bytes) -> str:
        version: str = self.aws.s3.put_object(Bucket=self.bucket, Key=key, Body=body)["VersionId"]
        return version

    def erase(self, key: str, version: str, **options: Any) -> None:
        self.aws.s3.delete_object(Bucket=self.bucket, Key=key, VersionId=version, **options)

    def run(self, seconds: float = 300, **event: Any) -> Any:
        return manifest.handler(event, Context(seconds))

    def verify(self, *arguments: str, code: int = 0) -> Any:
        result = CliRunner().invoke(app, ["verify", *arguments, "--json"])
        assert result.exit_code == code, (result.output, result.exception)
        return json.loads(result.stdout)

    def problems(self, *arguments: str) -> list[tuple[str, str]]:
        found = self.verify(*arguments, code=3)["problems"]
        return [(one["kind"], one["key"]) for one in found]


@pytest.fixture
def deployed(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    bucket = aws.bucket()
    aws.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    aws.s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    key = aws.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
    environment = {
        "AWS_ENDPOINT_URL": aws.emulator.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "DEPLOYMENT": "auth0-sync-test",
        "ARCHIVE_BUCKET": bucket,
        "ARCHIVE_PREFIX": "logs/",
        "ARCHIVE_ERROR_PREFIX": "errors/",
        "MANIFEST_KEY_ARN": key,
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    manifest.clients.cache_clear()
    yield Deployed(aws, bucket, key, monkeypatch)
    manifest.clients.cache_clear()


def log(days: int, number: int = 0) -> str:
    return f"logs/dt={days_ago(days)}/hour=08/{number}.json.gz"


def test_what_the_function_lists_is_proven_and_what_an_intruder_changes_is_found(deployed: Deployed) -> None:
    versions = {number: deployed.put(log(3, number), b"%d" % number) for number in range(4)}
    deployed.put(f"errors/processing-failed/dt={days_ago(2)}/1", b"error")
    deployed.put(log(0), b"today")
    keys = deployed.run()
    assert keys[0] == f"manifests/dt={days_ago(3)}/0000.jsonl"
    assert deployed.run() == []
    report = deployed.verify()
    assert (report["problems"], report["objects"], report["bytes"], report["pending"]) == ([], 5, 9, 1)
    assert report["manifests"] == len(keys)

    deployed.put(log(3, 0), b"forged")
    deployed.erase(log(3, 1), versions[1])
    deployed.aws.s3.delete_object(Bucket=deployed.bucket, Key=log(3, 2))
    expected = [("overwritten", log(3, 0)), ("missing", log(3, 1)), ("deleted", log(3, 2))]
    assert deployed.problems() == expected
    assert deployed.problems("--quick") == expected
    assert deployed.problems("--until", str(days_ago(3))) == expected
    assert deployed.verify("--since", str(days_ago(2)))["objects"] == 1


def test_the_command_says_in_sentences_what_is_wrong(deployed: Deployed) -> None:
    version = deployed.put(log(3), b"1")
    deployed.run()
    result = CliRunner().invoke(app, ["verify"])
    assert result.exit_code == 0, result.output
    assert "1 objects are byte for byte as their manifests list them" in result.output
    deployed.erase(log(3), version)
    result = CliRunner().invoke(app, ["verify"])
    assert result.exit_code == 3
    assert f"missing  {days_ago(3)} {log(3)}" in result.output
    assert f"Version {version}, 1 bytes, is gone." in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--since", "yesterday"], "not a day"),
        (["--since", "2026-11-02", "--until", "2026-11-01"], "ends before it begins"),
    ],
)
def test_wrong_arguments_are_named(deployed: Deployed, arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["verify", *arguments])
    assert result.exit_code == 2
    assert words in result.output


def test_a_kept_public_key_verifies_without_kms(deployed: Deployed, tmp_path: Path) -> None:
    deployed.put(log(3), b"1")
    deployed.run()
    public = tmp_path / "manifests.der"
    public.write_bytes(deployed.aws.client("kms").get_public_key(KeyId=deployed.key)["PublicKey"])
    deployed.aws.client("kms").schedule_key_deletion(KeyId=deployed.key)
    assert deployed.verify("--public-key", str(public))["problems"] == []
    public.write_bytes(b"another file")
    assert CliRunner().invoke(app, ["verify", "--public-key", str(public)]).exit_code != 0


def test_openssl_verifies_a_manifest_as_the_docs_say(deployed: Deployed, tmp_path: Path) -> None:
    deployed.put(log(3), b"1")
    [first, *_] = deployed.run()
    [block] = re.findall(r"```sh\n(aws kms get-public-key .*?)```", LOGS.read_text(), flags=re.S)
    manifest_file = tmp_path / "manifest.jsonl"
    deployed.aws.s3.download_file(deployed.bucket, first, str(manifest_file))
    public = deployed.aws.client("kms").get_public_key(KeyId=deployed.key)["PublicKey"]
    (tmp_path / "manifests.der").write_bytes(public)
    commands = "\n".join(line for line in block.splitlines() if not line.startswith("aws "))

    def said() -> str:
        done = subprocess.run(["bash", "-c", commands], check=False, cwd=tmp_path, capture_output=True, text=True)
        return done.stdout

    assert said() == "Verified OK\n"
    manifest_file.write_bytes(manifest_file.read_bytes().replace(b'"size":1,', b'"size":2,'))
    assert said() == "Verification failure\n"


def test_a_manifest_that_another_key_signed_is_found(deployed: Deployed) -> None:
    deployed.put(log(3), b"1")
    other = deployed.aws.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
    deployed.monkeypatch.setenv("MANIFEST_KEY_ARN", other)
    keys = deployed.run()
    deployed.monkeypatch.setenv("MANIFEST_KEY_ARN", deployed.key)
    assert deployed.problems() == [("not signed", key) for key in keys]


def test_an_erasure_that_the_function_recorded_is_explained(deployed: Deployed) -> None:
    version = deployed.put(log(3), b"ada")
    deployed.run()
    erased = {"key": log(3), "before": sha256(b"ada").hexdigest(), "after": sha256(b"nobody").hexdigest()}
    record = deployed.run(erasure={"reason": "erasure", "reference": "DSR-17", "objects": [erased]})
    deployed.put(log(3), b"nobody")
    deployed.erase(log(3), version)
    report = deployed.verify()
    assert (report["problems"], report["erased"], report["rewritten"]) == ([], 1, 1)
    assert report["erasures"] == [record]


def test_error_objects_that_are_archived_again_are_explained(deployed: Deployed) -> None:
    class Stream:
        def send(self, bodies: Sequence[str]) -> Sent:
            return Sent({})

    record = {"errorCode": "Lambda.X", "rawData": b64encode(b"event").decode()}
    key = f"errors/processing-failed/dt={days_ago(3)}/1"
    deployed.put(key, json.dumps(record).encode())
    deployed.run()

    def ask(objects: Sequence[Erased]) -> None:
        asked = {"reason": "rearchived", "reference": "", "objects": msgspec.to_builtins(objects)}
        assert key in deployed.aws.keys(deployed.bucket)
        deployed.run(erasure=asked)

    rearchive(deployed.aws.s3, deployed.bucket, "errors/", Stream(), record=ask)
    assert key not in deployed.aws.keys(deployed.bucket)
    assert deployed.verify()["problems"] == []


def test_listed_objects_and_manifests_are_locked(deployed: Deployed) -> None:
    version = deployed.put(log(3), b"1")
    deployed.monkeypatch.setenv("LOCK_DAYS", "30")
    [first, *_] = deployed.run()
    s3 = deployed.aws.s3
    lock = s3.get_object_retention(Bucket=deployed.bucket, Key=log(3), VersionId=version)["Retention"]
    assert lock["Mode"] == "GOVERNANCE"
    assert timedelta(days=29) < lock["RetainUntilDate"] - datetime.now(UTC) < timedelta(days=30, hours=1)
    with pytest.raises(ClientError, match="object lock"):
        deployed.erase(log(3), version)
    head = s3.head_object(Bucket=deployed.bucket, Key=first)
    assert head["ObjectLockMode"] == "GOVERNANCE"
    deployed.erase(log(3), version, BypassGovernanceRetention=True)
    assert deployed.problems() == [("missing", log(3))]


def test_large_objects_do_not_fill_the_memory(deployed: Deployed) -> None:
    for number in range(4):
        deployed.put(log(3, number), bytes(20_000_000))
    tracemalloc.start()
    deployed.run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40_000_000
    assert deployed.verify()["bytes"] == 80_000_000
