"""Aurora PostgreSQL clusters: a real server behind TLS, with passwords and IAM tokens.

AWS (RDS API Reference: CreateDBCluster, CreateDBInstance, DeleteDBCluster, ModifyDBCluster; Aurora User Guide, "IAM
database authentication", "Connecting to your DB cluster using IAM authentication", "Securing Aurora PostgreSQL data
with SSL/TLS", "Password management with Amazon Aurora and AWS Secrets Manager"): a cluster is ``creating`` until it
is ``available``, and answers once it has an instance. With rds.force_ssl, the default since version 17, it refuses
clients without TLS. Members of rds_iam sign in with a token: a request for rds-db:connect, signed for the
user and the endpoint that are connected to, at most 15 minutes old; the signer's policies must allow rds-db:connect
on the user's ARN, which holds the cluster's resource id. All others sign in with their password, the master with the
one in its managed secret, which RDS tags with the cluster's ARN. Deleting a cluster takes a final snapshot whose name
must be new.

MiniStack: clusters and instances are records, with real servers in Docker only, and tokens for MySQL only. There is
no final snapshot.

Here each cluster has an embedded server, and ``devstack.emulator.aurora.front`` before it. All endpoints of a
cluster are one address and port: 127.0.0.1 and a free one, or the wanted port and, where that is taken, another address
of the loopback interface. The certificate is signed by a CA that is made with the first cluster;
PGSSLROOTCERT names it to libpq in the functions, in place of the bundle of RDS' own CAs. Snapshots hold no data.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

from typing import Any

from ministack.core import concurrency, rds_iam, responses
from ministack.services import rds, secretsmanager

from devstack.emulator import patching
from devstack.emulator.aurora import cluster as clusters
from devstack.emulator.aurora.cluster import START_SECONDS, Cluster

ENGINE = "aurora-postgresql"

Record = dict[str, Any]
_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the operations of clusters and their instances, and the computation of a cluster's status."""
    patching.require(rds, "_clusters", "_instances", "_cluster_xml", "_xml", "_error", "_p", "_pg_server_material")
    patching.require(rds, "pg_ca_cert_pem", "_create_cluster_snapshot_internal", "_db_cluster_snapshots")
    patching.require(rds_iam, "verify_rds_iam_token", "RdsIamTokenError")
    patching.require(secretsmanager, "_resolve")
    for action, new in (
        ("CreateDBCluster", create_db_cluster),
        ("CreateDBInstance", create_db_instance),
        ("DeleteDBCluster", delete_db_cluster),
    ):
        _original[action] = patching.replace_action(rds, action, new)
    for name, function in (
        ("_refresh_cluster_status", refresh_cluster_status),
        ("_apply_cluster_master_password_change", apply_master_password),
    ):
        _original[name] = patching.replace(rds, name, function)


def create_db_cluster(p: Any) -> Any:
    """CreateDBCluster: answer at once, while the server starts."""
    answer = _original["CreateDBCluster"](p)
    record = rds._clusters.get(rds._p(p, "DBClusterIdentifier"))
    if answer[0] != 200 or record["Engine"] != ENGINE or record.get("GlobalClusterIdentifier"):
        return answer
    port = rds._p(p, "Port")
    try:
        cluster = clusters.add(record, responses.get_account_id(), responses.get_region(), int(port) if port else None)
    except OSError as problem:
        del rds._clusters[record["DBClusterIdentifier"]]
        message = f"Port {port} cannot be had on this machine's loopback addresses: {problem}"
        return rds._error("InvalidParameterValue", message, 400)
    record |= {
        "Status": "creating",
        "Endpoint": cluster.front.host,
        "ReaderEndpoint": cluster.front.host,
        "Port": cluster.front.port,
        "_shared_endpoint": {
            "Address": cluster.front.host,
            "Port": cluster.front.port,
            "HostedZoneId": record["HostedZoneId"],
        },
    }
    if record["MasterUserSecret"]:
        _, secret = secretsmanager._resolve(record["MasterUserSecret"]["SecretArn"])
        secret["KmsKeyId"] = record["MasterUserSecret"]["KmsKeyId"]
        secret["Tags"] = [
            {"Key": "aws:secretsmanager:owningService", "Value": "rds"},
            {"Key": "aws:rds:primaryDBClusterArn", "Value": record["DBClusterArn"]},
        ]
    concurrency.spawn_background(_start, cluster, thread_name="aurora-start")
    return _response("CreateDBCluster", record)


def _start(cluster: Cluster) -> None:
    record = cluster.record
    try:
        cluster.server.start(record["DatabaseName"], record["MasterUsername"], record["_MasterUserPassword"])
    except Exception:
        cluster.failed = True
        record["Status"] = "failed"
        raise
    finally:
        cluster.started.set()
    for member in record["DBClusterMembers"]:
        rds._instances[member["DBInstanceIdentifier"]]["DBInstanceStatus"] = "available"
    rds._refresh_cluster_status(record["DBClusterIdentifier"])


def refresh_cluster_status(cluster_id: Any) -> None:
    """Update a cluster's status: it is not available before its server is."""
    _original["_refresh_cluster_status"](cluster_id)
    record = rds._clusters.get(cluster_id) if cluster_id else None
    cluster = clusters.running(record["DBClusterArn"]) if record else None
    if cluster and not cluster.ready:
        cluster.record["Status"] = "failed" if cluster.failed else "creating"


def create_db_instance(p: Any) -> Any:
    """CreateDBInstance: a member of a cluster is in the cluster's subnets, and available when the server is."""
    answer = _original["CreateDBInstance"](p)
    record = rds._instances.get(rds._p(p, "DBInstanceIdentifier"))
    parent = rds._clusters.get(record["DBClusterIdentifier"]) if answer[0] == 200 else None
    cluster = clusters.running(parent["DBClusterArn"]) if parent else None
    if cluster is None:
        return answer
    record |= {
        "DBSubnetGroup": rds._subnet_groups.get(cluster.record["DBSubnetGroup"], record["DBSubnetGroup"]),
        "StorageEncrypted": cluster.record["StorageEncrypted"],
        "KmsKeyId": cluster.record["KmsKeyId"],
        "IAMDatabaseAuthenticationEnabled": cluster.record["IAMDatabaseAuthenticationEnabled"],
        "StorageType": "aurora",
    }
    if not cluster.ready:
        record["DBInstanceStatus"] = "creating"
    return rds._single_instance_response("CreateDBInstanceResponse", "CreateDBInstanceResult", record)


def delete_db_cluster(p: Any) -> Any:
    """DeleteDBCluster, with the final snapshot of the request."""
    record = rds._clusters.get(rds._p(p, "DBClusterIdentifier"))
    cluster = clusters.running(record["DBClusterArn"]) if record else None
    if cluster is None:
        return _original["DeleteDBCluster"](p)
    snapshot = rds._p(p, "FinalDBSnapshotIdentifier")
    if rds._p(p, "SkipFinalSnapshot") != "true":
        if not snapshot:
            message = "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."
            return rds._error("InvalidParameterCombination", message, 400)
        if snapshot in rds._db_cluster_snapshots:
            message = f"Cannot create the cluster snapshot because {snapshot} already exists."
            return rds._error("DBClusterSnapshotAlreadyExistsFault", message, 400)
    answer = _original["DeleteDBCluster"](p)
    if answer[0] == 200:
        if snapshot and rds._p(p, "SkipFinalSnapshot") != "true":
            rds._create_cluster_snapshot_internal(snapshot, cluster.record)
        clusters.forget(cluster)
        concurrency.spawn_background(cluster.close, thread_name="aurora-stop")
    return answer


def apply_master_password(cluster: Record, new_pass: str) -> None:
    """Change the master user's password, also in the server."""
    found = clusters.running(cluster["DBClusterArn"])
    if found is None:
        _original["_apply_cluster_master_password_change"](cluster, new_pass)
        return
    found.started.wait(START_SECONDS)
    found.server.set_password(cluster["MasterUsername"], new_pass)
    cluster["_MasterUserPassword"] = new_pass


def _response(action: str, record: Record) -> Any:
    xml = f"<{action}Result><DBCluster>{rds._cluster_xml(record)}</DBCluster></{action}Result>"
    return rds._xml(200, f"{action}Response", xml)
