"""A cluster restored to a point in time: its data, and what has to be switched on again."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.support import Aws, name, wait_for
from tests.emulator.test_aurora import Cluster, create, delete

pytestmark = pytest.mark.emulator


@pytest.fixture(scope="module")
def source(aws: Aws) -> Iterator[Cluster]:
    cluster = create(aws)
    run(cluster, "CREATE TABLE things AS SELECT 'kept' AS state")
    yield cluster
    delete(cluster)


def run(cluster: Cluster, sql: str) -> Any:
    target = {"resourceArn": cluster.arn, "secretArn": cluster.secret_arn, "database": "app"}
    return cluster.aws.client("rds-data").execute_statement(**target, sql=sql).get("records")


def restore(source: Cluster, **when: Any) -> str:
    target = name("restored")
    options = when or {"RestoreToTime": datetime.now(UTC) - timedelta(milliseconds=1)}
    rds, identifier = source.aws.client("rds"), source.arn.rpartition(":")[2]
    rds.restore_db_cluster_to_point_in_time(
        SourceDBClusterIdentifier=identifier,
        DBClusterIdentifier=target,
        EnableIAMDatabaseAuthentication=True,
        **options,
    )
    return target


def test_a_restored_cluster_is_reached_once_it_has_an_instance_an_endpoint_and_a_secret(source: Cluster) -> None:
    rds = source.aws.client("rds")
    target = restore(source)

    def described() -> Any:
        return rds.describe_db_clusters(DBClusterIdentifier=target)["DBClusters"][0]

    wait_for(lambda: described()["Status"] == "available", 60)
    assert (described()["HttpEndpointEnabled"], described().get("MasterUserSecret")) == (False, None)
    assert described()["DbClusterResourceId"] != source.resource_id
    rds.create_db_instance(
        DBInstanceIdentifier=f"{target}-1",
        DBClusterIdentifier=target,
        Engine="aurora-postgresql",
        DBInstanceClass="db.serverless",
    )
    rds.modify_db_cluster(DBClusterIdentifier=target, ManageMasterUserPassword=True, ApplyImmediately=True)
    found = described()
    restored = Cluster(
        source.aws, found["DBClusterArn"], found["Endpoint"], found["Port"], "", found["MasterUserSecret"]["SecretArn"]
    )
    with pytest.raises(ClientError, match="HttpEndpoint is not enabled"):
        run(restored, "SELECT 1")
    rds.enable_http_endpoint(ResourceArn=restored.arn)
    run(source, "UPDATE things SET state = 'lost'")
    assert run(restored, "SELECT state FROM things") == [[{"stringValue": "kept"}]]
    assert run(source, "SELECT state FROM things") == [[{"stringValue": "lost"}]]
    delete(restored)


@pytest.mark.parametrize(
    ("when", "refusal"),
    [
        ({"UseLatestRestorableTime": False}, "InvalidParameterCombination"),
        ({"RestoreToTime": datetime(2001, 1, 1, tzinfo=UTC)}, "InvalidRestoreFault"),
        ({"RestoreToTime": datetime(2101, 1, 1, tzinfo=UTC)}, "InvalidRestoreFault"),
    ],
)
def test_a_time_that_cannot_be_restored_is_refused(source: Cluster, when: Any, refusal: str) -> None:
    with pytest.raises(ClientError, match=refusal):
        restore(source, **when)


def test_a_source_must_be_there(source: Cluster) -> None:
    with pytest.raises(ClientError, match="DBClusterNotFound"):
        source.aws.client("rds").restore_db_cluster_to_point_in_time(
            SourceDBClusterIdentifier="nowhere", DBClusterIdentifier="restored", UseLatestRestorableTime=True
        )
