"""Restoring an Aurora cluster to a point in time, and the management of its master user's password.

AWS (RDS API Reference: RestoreDBClusterToPointInTime, ModifyDBCluster; Aurora User Guide, "Restoring a DB cluster to a
specified time", "Password management with Amazon Aurora and AWS Secrets Manager"): the new cluster has the data of the
source, its engine, master user and password, and no instance. It is in the default subnet group and security group,
without IAM authentication, HTTP endpoint and managed secret, unless the call or a later one says otherwise. The time
lies between the source's earliest and latest restorable time. ModifyDBCluster with ManageMasterUserPassword gives a
cluster a secret, and its master user a new password.

MiniStack: has neither.

Here the new cluster has the data of now, whatever time is named.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import json
import time
from datetime import UTC, datetime
from typing import Any

from ministack.core import responses
from ministack.services import rds, secretsmanager

from devstack.emulator import patching
from devstack.emulator.aurora import cluster as clusters

_original: dict[str, Any] = {}


def apply() -> None:
    """Add one operation, and replace another."""
    patching.require(rds, "_ACTION_MAP", "_clusters", "_error", "_generate_master_user_password", "_p", "_xml")
    patching.require(rds, "_cluster_xml", "_apply_cluster_master_password_change")
    patching.require(secretsmanager, "create_secret_in_process")
    rds._ACTION_MAP["RestoreDBClusterToPointInTime"] = restore_db_cluster_to_point_in_time
    _original["ModifyDBCluster"] = patching.replace_action(rds, "ModifyDBCluster", modify_db_cluster)


def restore_db_cluster_to_point_in_time(p: Any) -> Any:
    """RestoreDBClusterToPointInTime: answer at once, while the data is copied."""
    source_id, target_id = rds._p(p, "SourceDBClusterIdentifier"), rds._p(p, "DBClusterIdentifier")
    source = rds._clusters.get(source_id)
    origin = clusters.running(source["DBClusterArn"]) if source else None
    if origin is None:
        return rds._error("DBClusterNotFoundFault", f"DBCluster {source_id} not found.", 404)
    if problem := _time_problem(origin.record, p):
        return rds._error(*problem, 400)
    record = origin.record
    inherited = {
        "Engine": record["Engine"],
        "EngineVersion": record["EngineVersion"],
        "MasterUsername": record["MasterUsername"],
        "MasterUserPassword": record["_MasterUserPassword"],
        "DatabaseName": record["DatabaseName"] or "",
        "StorageEncrypted": str(record["StorageEncrypted"]).lower(),
        "KmsKeyId": record["KmsKeyId"],
        "BackupRetentionPeriod": str(record["BackupRetentionPeriod"]),
        "DBClusterParameterGroupName": record["DBClusterParameterGroup"],
    }
    clusters.origins[target_id] = origin.server
    try:
        answer = rds._ACTION_MAP["CreateDBCluster"]({name: [value] for name, value in inherited.items()} | dict(p))
    finally:
        del clusters.origins[target_id]
    if answer[0] != 200:
        return answer
    xml = f"<DBCluster>{rds._cluster_xml(rds._clusters[target_id])}</DBCluster>"
    name = "RestoreDBClusterToPointInTime"
    return rds._xml(200, f"{name}Response", f"<{name}Result>{xml}</{name}Result>")


def _time_problem(source: dict[str, Any], p: Any) -> tuple[str, str] | None:
    wanted, latest = rds._p(p, "RestoreToTime"), rds._p(p, "UseLatestRestorableTime") == "true"
    if bool(wanted) == latest:
        return "InvalidParameterCombination", "Specify either RestoreToTime or UseLatestRestorableTime."
    if wanted:
        moment = datetime.fromisoformat(wanted)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        created = datetime.fromisoformat(source["ClusterCreateTime"])
        if not created <= moment <= datetime.fromtimestamp(time.time(), UTC):
            return "InvalidRestoreFault", f"{wanted} is not a restorable time of {source['DBClusterIdentifier']}."
    return None


def modify_db_cluster(p: Any) -> Any:
    """ModifyDBCluster, with a secret for a cluster that had none."""
    record = rds._clusters.get(rds._p(p, "DBClusterIdentifier"))
    cluster = clusters.running(record["DBClusterArn"]) if record else None
    if cluster and rds._p(p, "ManageMasterUserPassword") == "true" and not cluster.record["MasterUserSecret"]:
        password = rds._generate_master_user_password()
        rds._apply_cluster_master_password_change(cluster.record, password)
        value = json.dumps({"username": cluster.record["MasterUsername"], "password": password})
        arn = secretsmanager.create_secret_in_process(f"rds!cluster-{responses.new_uuid()}", value)
        key = f"arn:aws:kms:{cluster.region}:{cluster.account}:key/aws-secretsmanager-default"
        key = rds._p(p, "MasterUserSecretKmsKeyId") or key
        cluster.record["MasterUserSecret"] = {"SecretArn": arn, "SecretStatus": "active", "KmsKeyId": key}
    return _original["ModifyDBCluster"](p)
