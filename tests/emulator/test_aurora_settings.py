from typing import Any

import pytest

from .support import Aws, name, wait_for

pytestmark = pytest.mark.emulator

KEY = "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000"


def test_settings_are_described_as_they_were_made(aws: Aws) -> None:
    rds, identifier = aws.client("rds"), name("cluster")

    def described() -> Any:
        return rds.describe_db_clusters(DBClusterIdentifier=identifier)["DBClusters"][0]

    rds.create_db_cluster(
        DBClusterIdentifier=identifier,
        Engine="aurora-postgresql",
        EngineVersion="17.5",
        MasterUsername="postgres",
        ManageMasterUserPassword=True,
        MasterUserSecretKmsKeyId=KEY,
        StorageEncrypted=True,
        KmsKeyId=KEY,
        EnableCloudwatchLogsExports=["postgresql", "iam-db-auth-error"],
        ServerlessV2ScalingConfiguration={"MinCapacity": 0, "MaxCapacity": 4, "SecondsUntilAutoPause": 3600},
        EnablePerformanceInsights=True,
        PerformanceInsightsKMSKeyId=KEY,
        PerformanceInsightsRetentionPeriod=7,
    )
    wait_for(lambda: described()["Status"] == "available", 30)
    cluster = described()
    assert cluster["EngineVersion"] == "17.5"
    assert cluster["EnabledCloudwatchLogsExports"] == ["postgresql", "iam-db-auth-error"]
    scaling = {"MinCapacity": 0.0, "MaxCapacity": 4.0, "SecondsUntilAutoPause": 3600}
    assert cluster["ServerlessV2ScalingConfiguration"] == scaling
    assert cluster["PerformanceInsightsEnabled"] is True
    assert (cluster["PerformanceInsightsKMSKeyId"], cluster["PerformanceInsightsRetentionPeriod"]) == (KEY, 7)
    secret = aws.client("secretsmanager").describe_secret(SecretId=cluster["MasterUserSecret"]["SecretArn"])
    assert secret["KmsKeyId"] == KEY

    instance = rds.create_db_instance(
        DBInstanceIdentifier=f"{identifier}-1",
        DBClusterIdentifier=identifier,
        Engine="aurora-postgresql",
        DBInstanceClass="db.serverless",
        EnablePerformanceInsights=True,
        PerformanceInsightsKMSKeyId=KEY,
    )["DBInstance"]
    assert (instance["DBInstanceStatus"], instance["Endpoint"]["Address"]) == ("available", "127.0.0.1")
    assert (instance["PerformanceInsightsKMSKeyId"], instance["KmsKeyId"]) == (KEY, KEY)
    assert instance["StorageEncrypted"] is True

    rds.modify_db_cluster(
        DBClusterIdentifier=identifier,
        CloudwatchLogsExportConfiguration={"EnableLogTypes": ["instance"], "DisableLogTypes": ["postgresql"]},
        EnablePerformanceInsights=False,
    )
    assert described()["EnabledCloudwatchLogsExports"] == ["iam-db-auth-error", "instance"]
    assert described()["PerformanceInsightsEnabled"] is False
    rds.delete_db_instance(DBInstanceIdentifier=f"{identifier}-1")
    rds.delete_db_cluster(DBClusterIdentifier=identifier, SkipFinalSnapshot=True)
