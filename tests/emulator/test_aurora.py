import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import botocore.auth
import psutil
import psycopg
import pytest
from botocore.exceptions import ClientError

from devstack.emulator import process

from .support import ACCOUNT, REGION, Aws, allow, name, policy, wait_for

pytestmark = [pytest.mark.emulator, pytest.mark.postgres]


@dataclass
class Cluster:
    """An available cluster with one instance."""

    aws: Aws
    arn: str
    host: str
    port: int
    resource_id: str
    secret_arn: str

    @property
    def master(self) -> dict[str, str]:
        secret = self.aws.client("secretsmanager").get_secret_value(SecretId=self.secret_arn)["SecretString"]
        found: dict[str, str] = json.loads(secret)
        return found

    def connect(self, user: str, password: str, **parameters: Any) -> psycopg.Connection:
        tls = {"sslmode": "verify-full", "sslrootcert": self.aws.emulator.ca}
        usual: dict[str, Any] = {"host": self.host, "dbname": "app", **tls}
        return psycopg.connect(port=self.port, user=user, password=password, autocommit=True, **usual | parameters)

    def token(self, user: str, **other: Any) -> str:
        """A token as boto3 makes it."""
        rds: Any = boto3.client("rds", region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")
        call = {"DBHostname": self.host, "Port": self.port, "DBUsername": user} | other
        token: str = rds.generate_db_auth_token(**call)
        return token


def create(aws: Aws, **options: Any) -> Cluster:
    identifier, rds = name("cluster"), aws.client("rds")
    rds.create_db_cluster(
        DBClusterIdentifier=identifier,
        Engine="aurora-postgresql",
        DatabaseName="app",
        MasterUsername="postgres",
        ManageMasterUserPassword=True,
        EnableIAMDatabaseAuthentication=True,
        EnableHttpEndpoint=True,
        **options,
    )
    rds.create_db_instance(
        DBInstanceIdentifier=f"{identifier}-1",
        DBClusterIdentifier=identifier,
        Engine="aurora-postgresql",
        DBInstanceClass="db.serverless",
    )

    def available() -> Any:
        (found,) = rds.describe_db_clusters(DBClusterIdentifier=identifier)["DBClusters"]
        return found if found["Status"] == "available" else None

    found = wait_for(available, 30)
    assert found["Endpoint"] == found["ReaderEndpoint"]
    secret = found["MasterUserSecret"]["SecretArn"]
    return Cluster(aws, found["DBClusterArn"], found["Endpoint"], found["Port"], found["DbClusterResourceId"], secret)


def delete(cluster: Cluster, **options: Any) -> None:
    identifier, rds = cluster.arn.rpartition(":")[2], cluster.aws.client("rds")
    rds.delete_db_instance(DBInstanceIdentifier=f"{identifier}-1")
    rds.delete_db_cluster(DBClusterIdentifier=identifier, **(options or {"SkipFinalSnapshot": True}))


@pytest.fixture(scope="module")
def cluster(aws: Aws) -> Iterator[Cluster]:
    cluster = create(aws)
    with cluster.connect(**_master(cluster)) as connection:
        connection.execute("CREATE ROLE person LOGIN PASSWORD 'correct horse'")
        connection.execute("CREATE ROLE writer LOGIN")
        connection.execute("GRANT rds_iam TO writer")
    yield cluster
    delete(cluster)


def _master(cluster: Cluster) -> dict[str, str]:
    return {"user": cluster.master["username"], "password": cluster.master["password"]}


def test_master_signs_in_with_its_managed_secret_and_is_no_superuser(cluster: Cluster) -> None:
    with cluster.connect(**_master(cluster)) as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.execute("SELECT current_user, current_database()").fetchone() == ("postgres", "app")
        assert connection.execute("SHOW is_superuser").fetchone() == ("off",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE ROLE boss SUPERUSER")
        connection.execute("CREATE SCHEMA IF NOT EXISTS mine")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127/8 on its loopback interface")
def test_two_clusters_may_have_the_same_port(aws: Aws) -> None:
    first = create(aws)
    second = create(aws, Port=first.port)
    assert (first.host, second.host, first.port) == ("127.0.0.1", "127.0.0.2", second.port)
    for cluster, other in ((first, second), (second, first)):
        cluster.connect(**_master(cluster)).close()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            cluster.connect(**_master(other))
    delete(first)
    delete(second)


def test_a_new_password_is_the_servers_too(aws: Aws) -> None:
    cluster = create(aws)
    old = cluster.master["password"]
    aws.client("rds").modify_db_cluster(
        DBClusterIdentifier=cluster.arn.rpartition(":")[2], RotateMasterUserPassword=True, ApplyImmediately=True
    )
    assert cluster.master["password"] != old
    cluster.connect(**_master(cluster)).close()
    with pytest.raises(psycopg.OperationalError, match='password authentication failed for user "postgres"'):
        cluster.connect("postgres", old)
    delete(cluster)


@pytest.mark.parametrize(
    ("user", "password"), [("person", "wrong"), ("nobody", "correct horse"), ("rdsadmin", ""), ("rdsadmin", "rdsadmin")]
)
def test_password_of_somebody_else_is_refused(cluster: Cluster, user: str, password: str) -> None:
    cluster.connect("person", "correct horse").close()
    with pytest.raises(psycopg.OperationalError, match=f'password authentication failed for user "{user}"|no password'):
        cluster.connect(user, password)


def test_connection_without_tls_is_refused(cluster: Cluster) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry for host .* no encryption"):
        cluster.connect(**_master(cluster), sslmode="disable")


def test_certificate_is_of_the_emulators_ca(cluster: Cluster) -> None:
    cluster.connect(**_master(cluster), host="localhost").close()
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        cluster.connect(**_master(cluster), sslrootcert="system")


def test_member_of_rds_iam_signs_in_with_a_token(cluster: Cluster) -> None:
    with cluster.connect("writer", cluster.token("writer")) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("writer",)


def test_token_must_be_of_the_user_the_endpoint_and_the_region(cluster: Cluster) -> None:
    for other in ({"DBUsername": "postgres"}, {"Port": 5432}, {"DBHostname": "localhost"}, {"Region": "eu-west-1"}):
        with pytest.raises(psycopg.OperationalError, match='PAM authentication failed for user "writer"'):
            cluster.connect("writer", cluster.token("writer", **other))


def test_token_must_be_signed_with_the_key(cluster: Cluster) -> None:
    token = cluster.token("writer")
    forged = token[:-1] + ("0" if token[-1] != "0" else "1")
    for password in (forged, "correct horse"):
        with pytest.raises(psycopg.OperationalError, match='PAM authentication failed for user "writer"'):
            cluster.connect("writer", password)


def test_token_lives_for_fifteen_minutes(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for minutes, lets_in in ((14, True), (16, False)):
        moment = datetime.now(UTC) - timedelta(minutes=minutes)
        with monkeypatch.context() as patch:
            patch.setattr(botocore.auth, "get_current_datetime", lambda moment=moment: moment)
            token = cluster.token("writer")
        if lets_in:
            cluster.connect("writer", token).close()
        else:
            with pytest.raises(psycopg.OperationalError, match="PAM authentication failed"):
                cluster.connect("writer", token)


def test_tokens_are_for_members_of_rds_iam_only(cluster: Cluster) -> None:
    with pytest.raises(psycopg.OperationalError, match='password authentication failed for user "person"'):
        cluster.connect("person", cluster.token("person"))


def test_master_that_is_granted_an_iam_role_cannot_use_its_password(aws: Aws) -> None:
    cluster = create(aws)
    with cluster.connect(**_master(cluster)) as connection:
        connection.execute("CREATE ROLE migrator LOGIN")
        connection.execute("GRANT rds_iam TO migrator")
        cluster.connect(**_master(cluster)).close()  # what it may only administer does not count
        connection.execute("GRANT migrator TO postgres")
        with pytest.raises(psycopg.OperationalError, match='PAM authentication failed for user "postgres"'):
            cluster.connect(**_master(cluster))
        connection.execute("REVOKE migrator FROM postgres")
    cluster.connect(**_master(cluster)).close()
    delete(cluster)


def test_large_results_and_cancelling_pass_the_front(cluster: Cluster) -> None:
    with cluster.connect(**_master(cluster)) as connection:
        rows = connection.execute("SELECT repeat('x', 1000) FROM generate_series(1, 20000)").fetchall()
        assert sum(len(row[0]) for row in rows) == 20_000_000
        connection.execute("CREATE TEMP TABLE big (text text)")
        connection.execute("INSERT INTO big VALUES (%s)", ["y" * 20_000_000])
        assert connection.execute("SELECT length(text) FROM big").fetchone() == (20_000_000,)
        began = time.monotonic()
        connection.execute("SET statement_timeout = '20s'")
        threading.Timer(0.3, connection.cancel_safe).start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(20)")
        assert time.monotonic() - began < 10


def test_role_of_a_function_must_allow_rds_db_connect(cluster: Cluster) -> None:
    code = """\
import os
from botocore.session import Session
def handler(event, context):
    rds = Session().create_client("rds")
    token = rds.generate_db_auth_token(DBHostname="127.0.0.1", Port=event["port"], DBUsername="writer")
    return {"token": token, "ca": os.environ["PGSSLROOTCERT"]}
"""
    aws, iam = cluster.aws, cluster.aws.client("iam")
    role = name("role")
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=policy())["Role"]["Arn"]
    aws.function(code, FunctionName=role, Role=arn, Timeout=30)
    payload = json.dumps({"port": cluster.port})
    answer = json.loads(aws.lambda_.invoke(FunctionName=role, Payload=payload)["Payload"].read())
    assert answer["ca"] == str(aws.emulator.ca)

    def grant(resource: str) -> None:
        document = policy(allow("rds-db:connect", resource))
        iam.put_role_policy(RoleName=role, PolicyName="database", PolicyDocument=document)

    users = f"arn:aws:rds-db:{REGION}:{ACCOUNT}:dbuser:{cluster.resource_id}"
    grant(f"{users}/reader")
    with pytest.raises(psycopg.OperationalError, match="PAM authentication failed"):
        cluster.connect("writer", answer["token"])
    grant(f"{users}/writer")
    cluster.connect("writer", answer["token"]).close()


def test_cluster_without_instance_has_no_database(aws: Aws) -> None:
    cluster = create(aws)
    identifier, rds = cluster.arn.rpartition(":")[2], aws.client("rds")
    with pytest.raises(ClientError, match="InvalidDBClusterStateFault"):
        rds.delete_db_cluster(DBClusterIdentifier=identifier, SkipFinalSnapshot=True)
    rds.delete_db_instance(DBInstanceIdentifier=f"{identifier}-1")
    with pytest.raises(psycopg.OperationalError, match="starting up"):
        cluster.connect(**_master(cluster))
    rds.delete_db_cluster(DBClusterIdentifier=identifier, SkipFinalSnapshot=True)


def test_final_snapshot_needs_a_new_name(aws: Aws) -> None:
    snapshot, rds = name("snapshot"), aws.client("rds")
    delete(create(aws), FinalDBSnapshotIdentifier=snapshot)
    (found,) = rds.describe_db_cluster_snapshots(DBClusterSnapshotIdentifier=snapshot)["DBClusterSnapshots"]
    assert found["Status"] == "available"
    cluster = create(aws)
    with pytest.raises(ClientError, match="DBClusterSnapshotAlreadyExistsFault"):
        delete(cluster, FinalDBSnapshotIdentifier=snapshot)
    with pytest.raises(ClientError, match="FinalDBSnapshotIdentifier is required"):
        rds.delete_db_cluster(DBClusterIdentifier=cluster.arn.rpartition(":")[2])
    rds.delete_db_cluster(DBClusterIdentifier=cluster.arn.rpartition(":")[2], SkipFinalSnapshot=True)


@pytest.mark.parametrize("how", ["delete", "stop", "kill"])
def test_server_ends_with_its_cluster_and_with_the_emulator(tmp_path: Path, how: str) -> None:
    emulator = process.start(tmp_path)
    try:
        cluster = create(Aws(emulator))
        with cluster.connect(**_master(cluster)) as connection:
            [(data,)] = connection.execute("SELECT current_setting('data_directory')").fetchall()
        server = psutil.Process(int((Path(data) / "postmaster.pid").read_text().splitlines()[0]))
        assert server.name().startswith("postgres")
        match how:
            case "delete":
                delete(cluster)
            case "stop":
                process.stop(emulator.pid)
                assert not server.is_running()
            case "kill":
                psutil.Process(emulator.pid).kill()
        wait_for(lambda: not server.is_running() and not Path(data).exists(), 20)
    finally:
        process.stop(emulator.pid)
