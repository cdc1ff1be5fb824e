"""The end of a deployment: what moves data goes, what holds data stays, unless it is asked for by name."""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.deploy import DeployError
from pipeline.deploy.applying import Progress, apply
from pipeline.deploy.deployment import Deployment
from pipeline.deploy.planning import HOLDS_DATA, Plan, make

KEY: Final = "module.key"
KEPT: Final = (KEY, "module.network", "module.database", "module.mirror", "module.archive")
"""What holds data, and what it needs to be read: the key, the network, the cluster, the users table, the archive with
its Athena workgroup."""

UNPROTECTED: Final = "-var=protect_data=false"
SNAPSHOT_SECONDS: Final = 3600


def plan_without_data(deployment: Deployment) -> Plan:
    """Plan to remove everything but what holds data. Raises DeployError if data would go with it."""
    targets = sorted({_top(address) for address in deployment.resources()} - set(KEPT))
    if not targets:
        return Plan()
    plan = make(deployment, "-destroy", *[f"-target={target}" for target in targets])
    if plan.losses:
        lost = "".join(f"\n  {change.address}: {change.loses}" for change in plan.losses)
        deployment.plan_file.unlink(missing_ok=True)
        raise DeployError(f"Nothing was removed, because data would have gone with it:{lost}")
    return plan


def plan_with_data(deployment: Deployment, *, keep_key: bool) -> Plan:
    """Plan to remove everything, but not the key if it is still needed: a snapshot cannot be read without it."""
    targets = sorted({_top(address) for address in deployment.resources()} - ({KEY} if keep_key else set()))
    if not targets:
        return Plan()
    return make(deployment, "-destroy", UNPROTECTED, *[f"-target={target}" for target in targets])


def unprotect(deployment: Deployment, progress: Progress) -> None:
    """Take the protection from what holds data, as `protect_data = false` does, and change nothing else."""
    targets = [f"-target={address}" for address in holders(deployment.resources())]
    if not targets:
        return
    plan = make(deployment, UNPROTECTED, *targets)
    other = [change for change in plan.changes if change.action != "update"]
    if other:
        deployment.plan_file.unlink(missing_ok=True)
        raise DeployError(
            "What is deployed differs from the configuration, so that taking the protection from it would also "
            f"{other[0].action} {other[0].address}. Deploy first (make deploy ENV={deployment.name}), then destroy."
        )
    apply(deployment, plan, progress)


def has_cluster(deployment: Deployment) -> bool:
    """Whether there is a cluster of the deployment's own. Outputs do not tell: they outlive it."""
    return any(_kind(address) == "aws_rds_cluster" for address in deployment.resources())


def snapshot(outputs: Mapping[str, Any], progress: Progress) -> str:
    """Take a last snapshot of the cluster, and return its name. Raises DeployError."""
    cluster = outputs["database"]["cluster_identifier"]
    name = f"{cluster}-final-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}"
    rds = boto3.client("rds", region_name=outputs["region"])
    try:
        with progress.step("Final snapshot") as step:
            step.update(name)
            rds.create_db_cluster_snapshot(DBClusterSnapshotIdentifier=name, DBClusterIdentifier=cluster)
            waiter = rds.get_waiter("db_cluster_snapshot_available")
            config = {"Delay": 15, "MaxAttempts": SNAPSHOT_SECONDS // 15}
            waiter.wait(DBClusterSnapshotIdentifier=name, WaiterConfig=config)
    except (BotoCoreError, ClientError) as error:
        raise DeployError(
            f"The final snapshot {name} of the cluster {cluster} could not be taken, so nothing was removed: {error}\n"
            "To go on without one: --no-snapshot"
        ) from error
    return name


def holders(resources: Sequence[str]) -> dict[str, str]:
    """Return what holds data in a deployment, by address, and what it is."""
    return {address: HOLDS_DATA[_kind(address)] for address in resources if _kind(address) in HOLDS_DATA}


def _top(address: str) -> str:
    """The outermost module that a resource is in, or the resource, without indices: `-target` takes all instances."""
    parts = re.sub(r"\[[^\]]*\]", "", address).split(".")
    return ".".join(parts[:2])


def _kind(address: str) -> str:
    return re.sub(r"\[[^\]]*\]", "", address).split(".")[-2]
