"""The example for production, whole, on the emulator: deployed, in step with itself, at work, and gone again.

Auth0's sources are in another region than the data, the refresh is on, Aurora is a real Postgres that takes IAM tokens
over verified TLS only, and every function has the rights of its own role.
"""

import base64
import gzip
import json
import platform
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
import typer
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from devstack.emulator import process
from pipeline import packaging
from pipeline.cli import app, plans
from pipeline.deploy import deployment, teardown
from tests.deploy import docs
from tests.deploy.support import real
from tests.emulator.support import ACCOUNT, REGION, ROOT, Aws, allow, refusals, wait_for
from tests.infra import deployer
from tests.strategies import deleted, streamed, text, updated, user

pytestmark = [pytest.mark.emulator, pytest.mark.postgres, pytest.mark.stack]

ENVIRONMENT, PREFIX = "acme", "auth0-sync-prod"
DATA_REGION = "eu-central-1"
TENANT = "aws.partner/auth0.com/acme-8b47abb4"
STREAMS = {"log-stream": f"{TENANT}/auth0.logs", "event-stream": f"{TENANT}/auth0.events"}
DOMAIN = "acme.auth0.invalid"
"""No name server knows it, so that nothing is asked of Auth0 itself."""
PLACE = deployer.Place(ACCOUNT, PREFIX)
EXAMPLE = packaging.ROOT / "infra/terraform/environments/production.tfvars"


def filled_in(secret: str) -> str:
    """The example as an operator would fill it in, with the refresh, and what an emulator has to be told."""
    # One principal plays every part here, the one of Firehose too.
    extra = f"""
refresh           = {{ auth0_domain = "{DOMAIN}", trusted_domains = ["{DOMAIN}"], secret_arn = "{secret}" }}
watch             = {{ questions = {{ mfa_weakened = {{}} }} }}
access            = {{ permissions_boundary_arn = "{PLACE.boundary}", archive_eraser_arns = ["{ROOT}"] }}
s3_use_path_style = true"""
    text = EXAMPLE.read_text()
    for before, after in {
        '"aws.partner/auth0.com/CHANGE-ME': f'"{TENANT}',
        '# source_region = "eu-west-1"': f'source_region = "{REGION}"',
        "CHANGE-ME@example.com": "oncall@acme.example",
        '"CHANGE-ME"': '"identity"',
        "  glacier_ir_after_days = 90\n": "  glacier_ir_after_days = 90\n  buffering_seconds     = 0\n",
        "tags = {": f"{extra}\ntags = {{",
    }.items():
        assert before in text, before
        text = text.replace(before, after)
    assert "CHANGE-ME" not in [line.partition("#")[0] for line in text.splitlines()]
    return text


class Deployed:
    """The emulator, and the commands that are given to it."""

    def __init__(self, emulator: process.Emulator, root: Path) -> None:
        self.emulator, self.root = emulator, root
        self.variables = root / f"infra/terraform/environments/{ENVIRONMENT}.tfvars"
        self.requests = root / "requests.jsonl"
        self._clients: dict[tuple[str, str], Any] = {}

    def client(self, service: str, region: str = DATA_REGION) -> Any:
        if (service, region) not in self._clients:
            make: Any = boto3.client  # its types have names of services only
            keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
            self._clients[service, region] = make(
                service, endpoint_url=self.emulator.endpoint, region_name=region, **keys
            )
        return self._clients[service, region]

    def run(self, command: str, *arguments: str, phase: str = "") -> str:
        """Run a command that must succeed, and record its requests; return its output and messages."""
        self.mark(phase or command)
        try:
            return str(self._invoke(command, *arguments).output)
        finally:
            self.mark(None)

    def mark(self, phase: str | None) -> None:
        """Note in the record of requests what the next ones are for."""
        with self.requests.open("a") as log:
            log.write(json.dumps({"phase": phase}) + "\n")

    def _invoke(self, *arguments: str) -> Any:
        result = CliRunner().invoke(app, arguments)
        print(result.output)  # noqa: T201 - pytest shows it whole, but cuts an assertion's values
        assert result.exit_code == 0, result.exception
        return result

    def put(self, *events: dict[str, Any]) -> None:
        """Put events on the bus of their source, in its region, as Auth0 does."""
        entries = [
            {"Source": STREAMS[stream], "DetailType": "Auth0", "Detail": json.dumps(event["detail"])}
            for event in events
            for stream in STREAMS
            if event["source"].endswith(STREAMS[stream].rpartition("/")[2])
        ]
        assert len(entries) == len(events)
        assert self.client("events", REGION).put_partner_events(Entries=entries)["FailedEntryCount"] == 0

    def as_master(self, outputs: dict[str, Any], statement: str) -> Any:
        """What a statement of the cluster's master user answers."""
        database = outputs["database"]
        [cluster] = self.client("rds").describe_db_clusters()["DBClusters"]
        return (
            self.client("rds-data")
            .execute_statement(
                resourceArn=database["cluster_arn"],
                secretArn=cluster["MasterUserSecret"]["SecretArn"],
                database=database["name"],
                sql=statement,
            )
            .get("records")
        )

    def roles(self) -> list[str]:
        """The roles of the deployment."""
        return [role["RoleName"] for role in self.client("iam").list_roles()["Roles"] if PREFIX in role["RoleName"]]

    def alarms(self) -> dict[str, str]:
        """The state of each alarm of the data's region, by name without the prefix."""
        pages = self.client("cloudwatch").get_paginator("describe_alarms").paginate()
        alarms = [alarm for page in pages for alarm in page["MetricAlarms"]]
        found = {alarm["AlarmName"].removeprefix(f"{PREFIX}-"): alarm for alarm in alarms}
        assert all(f" ENV={ENVIRONMENT}. " in alarm["AlarmDescription"] for alarm in found.values())
        return {name: alarm["StateValue"] for name, alarm in found.items()}

    def raise_minor_version(self) -> str:
        """Raise the cluster's minor version to the newest, as AWS does by itself, and return it."""
        rds = self.client("rds")
        [cluster] = rds.describe_db_clusters()["DBClusters"]
        engine, version = cluster["Engine"], cluster["EngineVersion"]
        major = version.partition(".")[0]
        versions = rds.describe_db_engine_versions(Engine=engine, EngineVersion=major)["DBEngineVersions"]
        newest = versions[-1]["EngineVersion"]
        assert newest != version
        name = cluster["DBClusterIdentifier"]
        rds.modify_db_cluster(DBClusterIdentifier=name, EngineVersion=newest, ApplyImmediately=True)
        return str(newest)

    def sql(self, query: str) -> Any:
        return json.loads(self._invoke("sql", query, "--json").stdout)


def may_sign_in(deployed: Deployed, outputs: dict[str, Any], user: str) -> bool:
    """Whether the cluster lets a user in by token."""
    [[field]] = deployed.as_master(outputs, f"SELECT pg_has_role('{user}', 'rds_iam', 'member')")
    return bool(field["booleanValue"])


def agreed(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> str:
    """Deploy, and agree when asked: the requests until then are those of somebody who only plans."""

    def answer(_question: str, **_: Any) -> str:
        deployed.mark("deploy")
        return "yes"

    with monkeypatch.context() as patches:
        patches.setattr(plans, "can_ask", lambda: True)
        patches.setattr(typer, "prompt", answer)
        return deployed.run("deploy", "--env", ENVIRONMENT, phase="plan")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    directory, root = tmp_path_factory.mktemp("production"), tmp_path_factory.mktemp("root")
    patches = pytest.MonkeyPatch()
    # So long that the roles function is refused at first on a slow machine, too.
    patches.setenv("AUTH0_SYNC_EMULATOR_IAM_SECONDS", "40")
    patches.setenv("AUTH0_SYNC_EMULATOR_INTERFACE_SECONDS", "15")
    patches.setenv("AUTH0_SYNC_EMULATOR_REQUESTS", str(root / "requests.jsonl"))
    emulator = process.start(directory)
    try:
        on = Deployed(emulator, root)
        for source in STREAMS.values():
            on.client("events", REGION).create_partner_event_source(Name=source, Account=ACCOUNT)
        value = json.dumps({"client_id": "id", "client_secret": "secret"})
        secret = on.client("secretsmanager").create_secret(Name="auth0", SecretString=value)["ARN"]
        boundary = PLACE.render("boundary", auth0_secret=secret)
        name = PLACE.boundary.rpartition("/")[2]
        on.client("iam").create_policy(PolicyName=name, PolicyDocument=boundary)
        real(root, environment=ENVIRONMENT, variables=filled_in(secret))
        packages = root / "packages"
        for function in packaging.FUNCTIONS:
            packaging.build(function, "host", packages)
        environment(patches, emulator, root, packages)
        yield on
        assert not refusals(emulator.log)
    finally:
        patches.undo()
        process.stop(emulator.pid)
        left = [p for p in psutil.process_iter(["cmdline"]) if str(directory) in " ".join(p.info["cmdline"] or [])]
        assert not left, "something is still running"


def environment(patches: pytest.MonkeyPatch, emulator: process.Emulator, root: Path, packages: Path) -> None:
    """A shell that is signed in to the emulator, in a repository of the test's own."""
    for variable, value in {
        "AWS_ENDPOINT_URL": emulator.endpoint,
        "AWS_ACCESS_KEY_ID": ACCOUNT,  # root, as "test" is, which stands for the embedded stack's shell
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": DATA_REGION,
        "TF_VAR_package_dir": str(packages),
        "TF_VAR_lambda": json.dumps(
            {"architecture": "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"}
        ),
        "NO_PROXY": "127.0.0.1",
    }.items():
        patches.setenv(variable, value)
    for variable in ("AWS_PROFILE", "DATABASE_URL", "PGHOST"):
        patches.delenv(variable, raising=False)
    patches.setattr(boto3, "DEFAULT_SESSION", None)
    find = deployment.Deployment.find.__func__  # type: ignore[attr-defined]  # a class method has one
    here = classmethod(lambda cls, wanted, **options: find(cls, wanted, root, **options))
    patches.setattr(deployment.Deployment, "find", here)


def archived(deployed: Deployed, outputs: dict[str, Any]) -> list[str]:
    """The sources of the events in the archive."""
    s3, bucket = deployed.client("s3"), outputs["archive_bucket"]
    objects = s3.list_objects_v2(Bucket=bucket, Prefix=outputs["archive_prefix"]).get("Contents", [])
    bodies = [gzip.decompress(s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()) for one in objects]
    return [json.loads(line)["source"] for body in bodies for line in body.splitlines()]


def dead_letters(deployed: Deployed, outputs: dict[str, Any]) -> int:
    """How many messages any hop has given up."""
    urls = [(url, DATA_REGION) for kind in ("dlq_urls", "target_dlq_urls") for url in outputs[kind].values()]
    urls += [(url, REGION) for url in outputs["relay_dlq_urls"].values()]
    name, held = "ApproximateNumberOfMessages", 0
    for url, region in urls:
        answer = deployed.client("sqs", region).get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        held += int(answer["Attributes"][name])
    return held


NOT_RUN = {
    "make init ENV=acme": "it asks Auth0; test_connect.py does it, with a local server for Auth0",
    "make deploy ENV=acme": "the test does it, by the command that make calls",
    "cat infra/terraform/environments/acme.s3.tfbackend": "test_remote_state.py has a state in S3",
    "auth0 ": "Auth0's",
    "auth0-sync streams --env acme --redeliver": "it asks Auth0; tests/init has a local server for Auth0",
    "auth0-sync catch-up": "it asks Auth0; tests/catchup has a local server for Auth0",
    "auth0-sync reconcile": "it asks before it scans; tests/cli/test_reconcile.py answers",
    'aws lambda invoke --function-name "$DEPLOYMENT-reconcile"': "test_whole.py has the function, by `reconcile`",
    "aws secretsmanager create-secret": "before the deployment, whose file names the secret",
    "aws secretsmanager put-secret-value": "it replaces the secret of the test's own Auth0",
    "mkdir policies": "before the deployment; tests/infra/test_deployer.py makes the policies so",
    "make own-migration": "test_packaging.py has one in the package",
    "make lock-providers": "it asks the registry; test_providers.py has it answer from a mirror",
    "aws lakeformation": "MiniStack has no Lake Formation",
    "export PGHOST=… ": "the embedded psql has no TLS; test_aurora.py signs in with tokens",
    "aws ssm start-session": "a tunnel through a task of the reader's",
}
"""The blocks of the docs that are not run here, by how they begin, and why."""


def as_the_docs_say(deployed: Deployed, outputs: dict[str, Any], home: Path) -> None:
    """Break something of everything, and have bash run each block of the docs for operators."""
    found = [block for document in ("runbook.md", "deploy.md", "database.md") for block in docs.blocks(document)]
    left_out = {block: begins for block in found for begins in NOT_RUN if block.text.startswith(begins)}
    assert sorted(left_out.values()) == sorted(NOT_RUN), "a block that is not run is not there, or there twice"

    sqs = deployed.client("sqs")
    event, alone = (
        text(updated(user(f"auth0|{name}", "2026-11-22T08:00:00.000Z")) | {"source": STREAMS["log-stream"]})
        for name in ("lost", "alone")
    )
    sqs.send_message(QueueUrl=outputs["queue_urls"]["postgres"], MessageBody=alone)
    wait_for(lambda: deployed.sql("SELECT 1 FROM auth0.users WHERE user_id = 'auth0|alone'"), 60)
    for body in ("not JSON", event):
        sqs.send_message(QueueUrl=outputs["dlq_urls"]["postgres"], MessageBody=body)
    sqs.send_message(QueueUrl=outputs["target_dlq_urls"]["postgres"], MessageBody=event)
    relayed = outputs["relay_dlq_urls"]["log-stream"]
    deployed.client("sqs", REGION).send_message(QueueUrl=relayed, MessageBody=event)
    s3, bucket, now = deployed.client("s3"), outputs["archive_bucket"], datetime.now(UTC)
    archived = f"{outputs['archive_prefix']}dt={now:%Y-%m-%d}/hour={now:%H}/docs.json.gz"
    s3.put_object(Bucket=bucket, Key=archived, Body=gzip.compress(f"{event}\n".encode()))
    failed = json.dumps({"errorCode": "x", "rawData": base64.b64encode(event.encode()).decode()})
    s3.put_object(Bucket=bucket, Key=f"{outputs['archive_error_prefix']}failed/1", Body=failed.encode())

    printed = docs.Operator(deployed.root, home, deployed.emulator.endpoint).run(
        [block for block in found if block not in left_out],
        {
            "2026-11-22T08:00:00Z": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "2026-11-22T08": f"{now:%Y-%m-%dT%H}",
            "2026-11-22T10": f"{now + timedelta(hours=2):%Y-%m-%dT%H}",
            "2026-11-22": f"{now:%Y-%m-%d}",
            "2026-11-20": f"{now:%Y-%m-%d}",
            "auth0|63d1…": "auth0|ada",
            "auth0|63d1c8b0f7": "auth0|lost",
            "'USER'": "'nobody'",
        },
    )

    def said(first: str) -> str:
        [text] = [text for block, text in printed.items() if block.first.startswith(first)]
        return text

    assert "NotJson: 1" in said("auth0-sync failed postgres   ")
    assert "Deleted: 1" in said("auth0-sync failed postgres --delete")
    assert "Put back: 2" in said("auth0-sync failed postgres --put-back")  # of the function, and of EventBridge
    assert '"State": "ACTIVE"' in said("aws events describe-event-source")
    assert "Sent to auth0-sync-prod-archive: 1" in said("auth0-sync rearchive")
    assert "1 directly to its function" in said("auth0-sync replay --since 2026-11-22")
    assert outputs["schema_revision"] in said('auth0-sync sql "SELECT version_num')
    assert "auth0|lost" in said("auth0-sync ask busiest_users")
    for urls in ("dlq_urls", "target_dlq_urls"):
        attributes = sqs.get_queue_attributes(QueueUrl=outputs[urls]["postgres"], AttributeNames=["All"])["Attributes"]
        assert attributes["ApproximateNumberOfMessages"] == "0"
    assert not s3.list_objects_v2(Bucket=bucket, Prefix=outputs["archive_error_prefix"]).get("Contents")
    # A user that only Postgres had came into DynamoDB, and the restored cluster's users went into the queue.
    get, key = deployed.client("dynamodb").get_item, {"user_id": {"S": "auth0|alone"}}
    assert wait_for(lambda: get(TableName=outputs["users_table"], Key=key).get("Item"), 60)
    [(read, sent)] = re.findall(r"(\d+) read, (\d+) sent", said("export CLUSTER_ARN=$(cluster"))
    assert int(read) == int(sent) > 3


def a_stranger_is_refused(deployed: Deployed, outputs: dict[str, Any]) -> None:
    """A developer of the account may do everything with SQS and S3, by his own policies."""
    developer = Aws(deployed.emulator, DATA_REGION).session(allow(["s3:*", "sqs:*"], "*"))
    sqs, s3 = developer.client("sqs"), developer.client("s3")

    def has_rights() -> bool:
        """Return whether IAM knows the role's policy yet; without it, the refusals below would prove nothing."""
        try:
            sqs.list_queues()
            s3.list_objects_v2(Bucket=outputs["archive_bucket"])
        except ClientError:
            return False
        return True

    wait_for(has_rights, 60)
    forged = text(updated(user("auth0|forged", "2026-11-22T08:00:00.000Z")))
    elsewhere = developer.client("sqs", REGION)
    for kind in ("queue_urls", "dlq_urls", "target_dlq_urls", "relay_dlq_urls"):
        for url in outputs[kind].values():
            with pytest.raises(ClientError, match="AccessDenied"):
                (elsewhere if kind.startswith("relay") else sqs).send_message(QueueUrl=url, MessageBody=forged)
    bucket = outputs["archive_bucket"]
    for prefix in (outputs["archive_prefix"], outputs["archive_error_prefix"]):
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.put_object(Bucket=bucket, Key=f"{prefix}forged", Body=forged.encode())
    [key, *_] = [
        item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=outputs["archive_prefix"])["Contents"]
    ]
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=bucket, Key=key)
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    iam = deployed.client("iam")
    iam.delete_role_policy(RoleName=developer.name, PolicyName="rights")
    iam.delete_role(RoleName=developer.name)


def test_production(deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # One command from nothing to a deployment that has been tried out.
    said = deployed.run("deploy", "--env", ENVIRONMENT, "--yes")
    for done in (
        "Database roles",
        "Migration",
        "Sync to Postgres: creation",
        "Sync to DynamoDB: deletion",
        "Connections without",
    ):
        assert f"✔ {done}" in said, said
    assert "✘" not in said

    # AWS raises the minor version of the cluster. A changed setting, and what shows it, is all that the configuration
    # and what is there differ by, and the version stays what AWS has made of it.
    raised = deployed.raise_minor_version()
    variables = deployed.variables.read_text()
    assert "max_capacity          = 8" in variables
    deployed.variables.write_text(variables.replace("max_capacity          = 8", "max_capacity          = 6"))
    said = agreed(deployed, monkeypatch)
    changed = re.findall(r"^  [~+-] module\.auth0_sync\.module\.(.*)$", said, flags=re.M)
    assert [address for address in changed if not address.startswith("observability.")] == [
        "database[0].aws_rds_cluster.this"
    ]
    assert len(changed) == 4
    [cluster] = deployed.client("rds").describe_db_clusters()["DBClusters"]
    assert cluster["ServerlessV2ScalingConfiguration"]["MaxCapacity"] == 6
    assert cluster["EngineVersion"] == raised

    # Everything rests under the one key, in the data's region.
    outputs = json.loads(deployed.run("outputs", "--env", ENVIRONMENT))
    key = outputs["kms_key_arn"]
    table = deployed.client("dynamodb").describe_table(TableName=outputs["users_table"])["Table"]
    [cluster] = deployed.client("rds").describe_db_clusters()["DBClusters"]
    for url in [url for kind in ("queue_urls", "dlq_urls", "target_dlq_urls") for url in outputs[kind].values()]:
        attributes = deployed.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert attributes["KmsMasterKeyId"] == key
    assert table["SSEDescription"]["KMSMasterKeyArn"] == cluster["KmsKeyId"] == key
    assert table["DeletionProtectionEnabled"]
    assert cluster["DeletionProtection"]
    in_the_source_region = deployed.client("sqs", REGION).list_queues()["QueueUrls"]
    assert set(in_the_source_region) == set(outputs["relay_dlq_urls"].values())
    assert len(in_the_source_region) == len(STREAMS)

    # Before Auth0's first event nothing rings, silence neither.
    alarms = deployed.alarms()
    assert alarms["silence-log-stream"] == "INSUFFICIENT_DATA"
    assert [name for name, state in alarms.items() if state == "ALARM"] == []

    # At work: changes of both streams, from the other region, into both stores.
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    ada, gone = user("auth0|ada", now, user_metadata={"plan": "pro"}), user("auth0|gone", now)
    deployed.put(updated(ada), streamed("user.created", gone))
    deployed.put(deleted("auth0|gone", date="2027-01-01T00:00:00.000Z"))

    for name, value in json.loads(deployed.run("env", "--env", ENVIRONMENT, "--json")).items():
        monkeypatch.setenv(name, value)
    wait_for(lambda: len(deployed.sql("SELECT 1 FROM auth0.users WHERE user_id LIKE 'auth0|%'")) == 2, 60)
    wait_for(lambda: deployed.sql("SELECT 1 FROM auth0.users WHERE user_id = 'auth0|gone' AND deleted_at > now()"), 60)
    [row] = deployed.sql("SELECT user_id, user_metadata->>'plan' AS plan FROM auth0.live_users")
    assert row == {"user_id": "auth0|ada", "plan": "pro"}
    assert deployed.sql("SELECT count(*) AS changes FROM auth0.user_history WHERE user_id = 'auth0|gone'") == [
        {"changes": 2}
    ]
    get = deployed.client("dynamodb").get_item
    key = {"user_id": {"S": "auth0|ada"}}
    item = wait_for(lambda: get(TableName=outputs["users_table"], Key=key).get("Item"), 60)
    assert item["user_metadata"] == {"M": {"plan": {"S": "pro"}}}

    # Everything that arrived is in the archive, which the key encrypts, and nothing was given up.
    wait_for(lambda: len(archived(deployed, outputs)) + dead_letters(deployed, outputs) >= 3, 60)
    assert dead_letters(deployed, outputs) == 0
    assert sorted(archived(deployed, outputs)) == sorted([*STREAMS.values(), STREAMS["log-stream"]])

    # An event that no queue takes has an alarm of its own; the others of the hour tell it from what else is lost.
    deployed.put(updated(user("auth0|large", now, user_metadata={"x": "y" * 300 * 1024})))
    alarms = wait_for(lambda: "ALARM" in (found := deployed.alarms()).values() and found)
    ringing = {name for name, state in alarms.items() if state == "ALARM"}
    lost = {"failed-invocations", "lost-events", "oversized-events"}
    assert ringing == {f"{kind}-user-changes-log-stream" for kind in lost}
    assert alarms["silence-log-stream"] == "OK"

    # A reader reads.
    refused = CliRunner().invoke(app, ["sql", "DELETE FROM auth0.user_rows"])
    assert refused.exit_code != 0

    # Somebody takes from a role what it signs in by, and ends its sessions; the command repairs that.
    assert may_sign_in(deployed, outputs, "auth0_writer")
    deployed.as_master(outputs, "REVOKE rds_iam FROM auth0_writer")
    deployed.as_master(outputs, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'auth0_writer'")
    assert not may_sign_in(deployed, outputs, "auth0_writer")
    assert "auth0_migrator, auth0_writer, auth0_reader" in deployed.run("roles", "--env", ENVIRONMENT)
    assert may_sign_in(deployed, outputs, "auth0_writer")
    deployed.put(updated(user("auth0|bob", now)))
    wait_for(lambda: deployed.sql("SELECT 1 FROM auth0.users WHERE user_id = 'auth0|bob'"), 60)

    # What the docs tell an operator to type, works.
    as_the_docs_say(deployed, outputs, tmp_path)

    # Nobody else of the account forges a change, or rewrites what is archived, whatever his own rights.
    a_stranger_is_refused(deployed, outputs)

    # Gone, with the data, because that was said; what is left is a snapshot and its key.
    monkeypatch.setattr(teardown, "LOOK", 0.5)
    assert "✔ Network interfaces" in deployed.run("destroy", "--env", ENVIRONMENT, "--yes", "--with-data")
    assert deployed.client("ec2").describe_network_interfaces()["NetworkInterfaces"] == []
    assert [vpc for vpc in deployed.client("ec2").describe_vpcs()["Vpcs"] if not vpc["IsDefault"]] == []
    assert deployed.roles() == []
    assert deployed.client("rds").describe_db_clusters()["DBClusters"] == []
    assert deployed.client("lambda").list_functions()["Functions"] == []
    assert deployed.client("dynamodb").list_tables()["TableNames"] == []
    assert deployed.client("s3").list_buckets()["Buckets"] == []
    for region in (REGION, DATA_REGION):
        assert deployed.client("sqs", region).list_queues().get("QueueUrls", []) == []
        assert deployed.client("cloudwatch", region).describe_alarms()["MetricAlarms"] == []
    [snapshot] = deployed.client("rds").describe_db_cluster_snapshots()["DBClusterSnapshots"]
    assert snapshot["DBClusterSnapshotIdentifier"].startswith(PREFIX)

    # The documented policies allow what the commands have asked for, and nothing that they would not ask for.
    recorded = deployer.Recorded(deployed.requests, PLACE)
    assert recorded.refused("plan", deployer.PLAN) == []
    assert [asked for phase in recorded.asked for asked in recorded.refused(phase, deployer.APPLY)] == []
    actions = {phase: sorted(recorded.actions(phase)) for phase in sorted(recorded.asked)}
    assert actions == json.loads(deployer.RECORD.read_text()), f"for {deployer.RECORD}: {json.dumps(actions)}"
