from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .support import Aws, name

pytestmark = pytest.mark.emulator

ENGINE = "aurora-postgresql"


@pytest.fixture(scope="module")
def cluster(aws: Aws) -> Iterator[str]:
    """A cluster of the default minor version of 17, with an instance; it need not be available."""
    identifier, rds = name("cluster"), aws.client("rds")
    rds.create_db_cluster(
        DBClusterIdentifier=identifier,
        Engine=ENGINE,
        EngineVersion="17",
        MasterUsername="postgres",
        ManageMasterUserPassword=True,
    )
    rds.create_db_instance(
        DBInstanceIdentifier=f"{identifier}-1",
        DBClusterIdentifier=identifier,
        Engine=ENGINE,
        DBInstanceClass="db.serverless",
    )
    yield identifier
    rds.delete_db_instance(DBInstanceIdentifier=f"{identifier}-1")
    rds.delete_db_cluster(DBClusterIdentifier=identifier, SkipFinalSnapshot=True)


def described(aws: Aws, cluster: str) -> dict[str, Any]:
    filters = [{"Name": "db-cluster-id", "Values": [cluster]}]
    found: list[dict[str, Any]] = aws.client("rds").describe_db_clusters(Filters=filters)["DBClusters"]
    assert len(found) == 1
    return found[0]


def defaults(aws: Aws, **wanted: str) -> list[str]:
    found = aws.client("rds").describe_db_engine_versions(Engine=ENGINE, DefaultOnly=True, **wanted)
    return [each["EngineVersion"] for each in found["DBEngineVersions"]]


@pytest.mark.parametrize("major", ["16", "17", "18"])
def test_each_major_version_has_one_default_which_is_not_the_newest(aws: Aws, major: str) -> None:
    [default] = defaults(aws, EngineVersion=major)
    every = aws.client("rds").describe_db_engine_versions(Engine=ENGINE, EngineVersion=major)["DBEngineVersions"]
    assert default in [each["EngineVersion"] for each in every[:-1]]


def test_major_version_alone_stands_for_its_default(aws: Aws, cluster: str) -> None:
    assert [described(aws, cluster)["EngineVersion"]] == defaults(aws, EngineVersion="17")


def test_version_only_goes_up(aws: Aws, cluster: str) -> None:
    modify = aws.client("rds").modify_db_cluster
    modify(DBClusterIdentifier=cluster, EngineVersion="17.9", ApplyImmediately=True)
    modify(DBClusterIdentifier=cluster, EngineVersion="17.9", ApplyImmediately=True)
    for lower, stands_for in (("17.5", "17.5"), ("17", "17.7"), ("16.14", "16.14")):
        with pytest.raises(ClientError, match=f"Cannot upgrade {ENGINE} from 17.9 to {stands_for}") as refused:
            modify(DBClusterIdentifier=cluster, EngineVersion=lower, BackupRetentionPeriod=9)
        assert refused.value.response["Error"]["Code"] == "InvalidParameterCombination"
    found = described(aws, cluster)
    assert (found["EngineVersion"], found["BackupRetentionPeriod"]) == ("17.9", 1)
    [instance] = aws.client("rds").describe_db_instances(DBInstanceIdentifier=f"{cluster}-1")["DBInstances"]
    assert instance["EngineVersion"] == "17.9"


def test_major_upgrade_needs_its_flag_and_parameters(aws: Aws, cluster: str) -> None:
    rds, groups = aws.client("rds"), {family: name(f"group-{family}") for family in ("17", "18")}
    for family, group in groups.items():
        rds.create_db_cluster_parameter_group(
            DBClusterParameterGroupName=group, DBParameterGroupFamily=f"{ENGINE}{family}", Description="a group"
        )
    with pytest.raises(ClientError, match="AllowMajorVersionUpgrade flag must be present"):
        rds.modify_db_cluster(DBClusterIdentifier=cluster, EngineVersion="18.3")
    upgrade = {"DBClusterIdentifier": cluster, "EngineVersion": "18.3", "AllowMajorVersionUpgrade": True}
    with pytest.raises(ClientError, match=f"with DBParameterGroupFamily {ENGINE}17 cannot be used"):
        rds.modify_db_cluster(**upgrade, DBClusterParameterGroupName=groups["17"])
    rds.modify_db_cluster(**upgrade, DBClusterParameterGroupName=groups["18"])
    assert described(aws, cluster)["EngineVersion"] == "18.3"


def test_there_may_be_no_such_cluster(aws: Aws) -> None:
    filters = [{"Name": "db-cluster-id", "Values": [name("none")]}]
    assert aws.client("rds").describe_db_clusters(Filters=filters)["DBClusters"] == []
