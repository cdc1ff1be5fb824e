"""Destroy a deployment. Stores are kept unless `--with-data` is given."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.deploy import DeployError
from pipeline.deploy.applying import apply
from pipeline.deploy.deployment import Deployment, State
from pipeline.deploy.planning import MODULE, Change, Plan, held, kind, make, top
from pipeline.progress import Progress, Step

KEY: Final = f"{MODULE}module.key"
KEPT: Final = (KEY, *(f"{MODULE}module.{name}" for name in ("network", "database", "users_table", "archive")))
"""The parts with data, and those needed to read it: the key, the network, the cluster, the users table, the archive
with its Athena workgroup."""

UNPROTECTED: Final = "-var=protect_data=false"
SNAPSHOT_SECONDS: Final = 3600

INTERFACE_MINUTES: Final = 45
"""Most minutes to wait until Lambda removes the network interfaces of deleted functions; mostly 20 to 40."""

LOOK: Final = 15.0
"""Seconds between two checks of the network interfaces."""


def plan_without_data(deployment: Deployment, resources: Sequence[str]) -> Plan:
    """Plan to remove everything but the parts with data. Raises DeployError if the plan would delete data."""
    targets = sorted({top(address) for address in resources} - set(KEPT))
    if not targets:
        return Plan()
    plan = make(deployment, "-destroy", *[f"-target={target}" for target in targets])
    if plan.losses:
        lost = "".join(f"\n  {change.address}: {change.loses}" for change in plan.losses)
        deployment.plan_file.unlink(missing_ok=True)
        raise DeployError(f"Nothing was removed, because this would have deleted data:{lost}")
    return plan


def removal_with_data(resources: Sequence[str], *, keep_key: bool) -> Plan:
    """Return the removal of everything in the state, except the key if a snapshot still needs it, for review.

    Terraform's own plan from before `unprotect` would be stale after it.
    """
    gone = [address for address in resources if not (keep_key and top(address) == KEY)]
    return Plan(tuple(Change("delete", address, kind(address)) for address in gone))


def remove_with_data(deployment: Deployment, removal: Plan, progress: Progress) -> None:
    """Remove what `removal_with_data` has returned, after `unprotect`. Raises TerraformError."""
    targets = sorted({top(change.address) for change in removal.changes})
    options = ["-destroy", UNPROTECTED, *[f"-target={target}" for target in targets]]
    apply(deployment, removal, progress, "-auto-approve", *deployment.inputs, *options)


def leave_network(state: State, progress: Progress) -> bool:
    """Remove the functions if they are in a VPC, and wait until Lambda has removed their network interfaces.

    Lambda uses the functions' roles for that, and the interfaces block the deletion of subnets and security groups: all
    of these must stay until then. Returns whether there is a VPC, so that an earlier plan is out of date.
    """
    network, region = state.outputs.get("function_network"), state.outputs.get("region", "")
    if network is None:
        return False
    if state.functions:
        with progress.step("Functions") as step:
            _delete_functions(state, region, step)
    with progress.step("Network interfaces") as step:
        _wait_for_interfaces(region, network, step)
    return True


def _delete_functions(state: State, region: str, step: Step) -> None:
    """Delete the functions by Lambda's API, after their event source mappings, which would go on reading the queues.

    Terraform finds them gone afterwards, and needs no plan for them alone.
    """
    lambda_ = boto3.client("lambda", region_name=region)
    done = 0
    try:
        for mapping in state.mappings:
            with suppress(lambda_.exceptions.ResourceNotFoundException):
                lambda_.delete_event_source_mapping(UUID=mapping)
        for name in state.functions:
            step.update(name)
            with suppress(lambda_.exceptions.ResourceNotFoundException):
                lambda_.delete_function(FunctionName=name)
            done += 1
    except (BotoCoreError, ClientError) as error:
        raise DeployError(
            f"{done} of {len(state.functions)} functions were deleted, and nothing else: {error}\n"
            "Run the same command again: it continues from here."
        ) from error
    step.update(f"{done} deleted")


def _wait_for_interfaces(region: str, network: Mapping[str, Any], step: Step) -> None:
    ec2, lambda_ = boto3.client("ec2", region_name=region), boto3.client("lambda", region_name=region)
    began = time.monotonic()
    try:
        while left := _interfaces(ec2, lambda_, network):
            if time.monotonic() - began > INTERFACE_MINUTES * 60:
                raise DeployError(
                    f"Lambda has not removed the network interfaces of the functions in {INTERFACE_MINUTES} minutes: "
                    f"{', '.join(left)}. The functions' roles, security groups and subnets stay until then. "
                    "Run the same command later: it continues from here."
                )
            step.update(
                f"Lambda has {len(left)} to remove, which takes 20 to {INTERFACE_MINUTES} minutes; "
                "after Ctrl-C the same command continues from here"
            )
            time.sleep(LOOK)
    except (BotoCoreError, ClientError) as error:
        raise DeployError(f"The functions' network interfaces could not be listed: {error}") from error
    step.update("gone")


def _interfaces(ec2: Any, lambda_: Any, network: Mapping[str, Any]) -> list[str]:
    """Return Lambda's network interfaces in the subnets and security groups that no other function uses."""
    filters = {
        "interface-type": ["lambda"],
        "group-id": network["security_group_ids"],
        "subnet-id": network["subnet_ids"],
    }
    pages = ec2.get_paginator("describe_network_interfaces").paginate(
        Filters=[{"Name": name, "Values": values} for name, values in filters.items()]
    )
    found = {
        interface["NetworkInterfaceId"]: (interface["SubnetId"], _ids(interface["Groups"]))
        for page in pages
        for interface in page["NetworkInterfaces"]
    }
    if not found:
        return []
    used = {
        (subnet, frozenset(function["VpcConfig"]["SecurityGroupIds"]))
        for page in lambda_.get_paginator("list_functions").paginate()
        for function in page["Functions"]
        for subnet in function.get("VpcConfig", {}).get("SubnetIds", ())
    }
    return sorted(identifier for identifier, place in found.items() if place not in used)


def _ids(groups: Sequence[Mapping[str, str]]) -> frozenset[str]:
    return frozenset(group["GroupId"] for group in groups)


def unprotect(deployment: Deployment, state: State, progress: Progress) -> None:
    """Remove the protection of the stores, as `protect_data = false` does, and change nothing else.

    A separate request removes the cluster's. Terraform then only records the settings of the cluster's deletion, and
    sends nothing: in a change of the cluster the provider would send its engine version, too.
    """
    if has_cluster(state.resources):
        _unprotect_cluster(state.outputs)
    targets = [f"-target={address}" for address in holders(state.resources)]
    if not targets:
        return
    plan = make(deployment, UNPROTECTED, *targets)
    other = [change for change in plan.changes if change.action != "update"]
    if other:
        deployment.plan_file.unlink(missing_ok=True)
        raise DeployError(
            "The deployment differs from the configuration, so removing its protection would also "
            f"{other[0].action} {other[0].address}. Deploy first (make deploy ENV={deployment.name}), then destroy."
        )
    apply(deployment, plan, progress)


def _unprotect_cluster(outputs: Mapping[str, Any]) -> None:
    cluster = outputs["database"]["cluster_identifier"]
    rds = boto3.client("rds", region_name=outputs["region"])
    try:
        rds.get_waiter("db_cluster_available").wait(DBClusterIdentifier=cluster)  # it may still be backing up
        rds.modify_db_cluster(DBClusterIdentifier=cluster, DeletionProtection=False, ApplyImmediately=True)
    except (BotoCoreError, ClientError) as error:
        raise DeployError(f"The cluster {cluster} is still protected from deletion, so it was kept: {error}") from error


def has_cluster(resources: Sequence[str]) -> bool:
    """Return whether a deployment has its own cluster. Outputs are no evidence: they outlive it."""
    return any(kind(address) == "aws_rds_cluster" for address in resources)


def needs_key(state: State) -> bool:
    """Return whether a last snapshot may need the key: there is or was a cluster, and more than the key is left.

    A destroy that was interrupted has taken the snapshot, and may have removed the cluster already.
    """
    had_cluster = (state.outputs.get("database") or {}).get("cluster_identifier") is not None
    return has_cluster(state.resources) or (had_cluster and any(top(address) != KEY for address in state.resources))


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
            f"The final snapshot {name} of the cluster {cluster} could not be taken, so no data was removed: {error}\n"
            "To go on without one: --no-snapshot"
        ) from error
    return name


def holders(resources: Sequence[str]) -> dict[str, str]:
    """Return the resources with data in a deployment: address to description."""
    return {address: found for address in resources if (found := held(address))}
