"""Checks before the plan: the AWS account, and Auth0's event sources in it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import boto3
from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.deploy import DeployError, event_sources
from pipeline.deploy.deployment import Deployment, account_of

LISTED: Final = (
    "These are offered to this account. Verify the id in Auth0 before you take one: anybody with an Auth0 tenant can "
    "make one for this account, and its events would become your users and logs:"
)


@dataclass(frozen=True)
class Identity:
    """The caller's AWS identity, and the account and region of the deployment."""

    account: str
    arn: str
    region: str


def identify(settings: Mapping[str, Any]) -> Identity:
    """Return the caller's AWS identity. Raises DeployError, which says how to sign in."""
    region = _region(settings.get("region"))
    try:
        answer = boto3.client("sts", region_name=region).get_caller_identity()
    except (exceptions.ConnectionError, exceptions.HTTPClientError):
        raise  # it is about the network, not about the credentials
    except (BotoCoreError, ClientError) as error:
        profile = os.environ.get("AWS_PROFILE")
        raise DeployError(
            f"AWS does not know who you are{f' (AWS_PROFILE={profile})' if profile else ''}: {error}\n"
            "Sign in (aws sso login), choose a profile (export AWS_PROFILE=…), or set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, until `aws sts get-caller-identity` works."
        ) from None
    return Identity(answer["Account"], answer["Arn"], region)


def check_account(name: str, outputs: Mapping[str, Any], identity: Identity) -> None:
    """Raise DeployError if the state is of another account or region: Terraform would create everything again."""
    account = account_of(outputs)
    for what, deployed, now, how in (
        ("account", account, identity.account, "Use credentials of that account (AWS_PROFILE)"),
        ("region", outputs.get("region"), identity.region, "Set region, or AWS_REGION"),
    ):
        if deployed and deployed != now:
            raise DeployError(
                f"{name} is deployed in {what} {deployed}, but this would go to {what} {now}. {how}, "
                "or choose another environment for another deployment."
            )


def check_names(
    deployment: Deployment, settings: Mapping[str, Any], identity: Identity, resources: Sequence[str]
) -> None:
    """Raise DeployError if a first deployment would take the names of another one."""
    if resources:
        return
    prefix = f"{settings['name']}-{settings['environment']}"
    choose = f"Choose another environment (or name) in {deployment.name}.tfvars: it is a part of every name"
    if others := deployment.namesakes(settings):
        raise DeployError(
            f"{others[0]}.tfvars and {deployment.name}.tfvars have the same name and environment ({prefix}), so that "
            f"both would own the same resources. {choose}; or delete one of the files."
        )
    role = f"{prefix}-migrate"  # every deployment has it, and roles are the same in every region
    try:
        boto3.client("iam", region_name=identity.region).get_role(RoleName=role)
    except (BotoCoreError, ClientError):
        return  # it does not exist, or the caller may not read it: Terraform then reports existing resources
    raise DeployError(
        f"{prefix} is deployed in account {identity.account} already (there is the role {role}), but the state of "
        f"{deployment.name} is empty. If another environment or machine deployed it, use its state "
        f"(docs/deploy.md, State in S3). If it is another deployment: {choose[0].lower()}{choose[1:]}."
    )


CONCURRENCY_RESERVE: Final = 5
"""Concurrent executions kept for migrations, roles and other functions in the account."""


def concurrency_warning(settings: Mapping[str, Any], identity: Identity) -> str:
    """Return a warning if the account's concurrency is below the deployment's, else nothing."""
    # Each execution of the backfill waits for one of a sink's function.
    backfill = 2 * settings["backfill"]["maximum_concurrency"] if settings["backfill"] else 0
    needed = 2 * settings["maximum_concurrency"] + 2 * bool(settings["refresh"]) + backfill + CONCURRENCY_RESERVE
    try:
        limits = boto3.client("lambda", region_name=identity.region).get_account_settings()["AccountLimit"]
    except (BotoCoreError, ClientError):
        return ""  # the rights may be narrower than this
    if limits["ConcurrentExecutions"] >= needed:
        return ""
    return (
        f"Warning: account {identity.account} may run {limits['ConcurrentExecutions']} Lambda functions at once in "
        f"{identity.region}, and this deployment up to {needed}. Batches that are throttled use up their tries. Raise "
        "the quota (Service Quotas: Lambda, Concurrent executions), or lower sync.maximum_concurrency."
    )


def check_sources(settings: Mapping[str, Any], identity: Identity, resources: Sequence[str]) -> None:
    """Raise DeployError if Auth0 has not made the partner event sources that the variables name."""
    if not settings["create_buses"]:
        return
    region = settings["source_region"] or identity.region
    events = boto3.client("events", region_name=region)
    try:
        there = event_sources.states(events)
    except (BotoCoreError, ClientError):
        return  # the caller may lack this right; Terraform reads each source by its name, and reports missing ones
    ours = any("aws_cloudwatch_event_bus" in address for address in resources)
    for stream, variable in (("Log", "log_stream_source_name"), ("Event", "event_stream_source_name")):
        source = settings[variable]
        if source is None:
            continue
        if there.get(source, "DELETED") == "DELETED":
            gone = "was deleted in Auth0" if source in there else "does not exist"
            listed = "".join(f"\n  {name} ({state})" for name, state in sorted(there.items()) if state != "DELETED")
            raise DeployError(
                f"auth0.{variable}: the event source {source} {gone}, in account {identity.account}, region {region}.\n"
                f"{f'{LISTED}{listed}' if listed else 'There is none of Auth0.'}\n"
                f"Make the {stream} Stream in Auth0 (to Amazon EventBridge, with this account id and region), and copy "
                "the whole name of its event source from there; docs/deploy.md shows where."
            )
        if there[source] == "ACTIVE" and not ours:
            raise DeployError(
                f"auth0.{variable}: the event source {source} has an event bus already, which this deployment did not "
                "make. Set auth0.create_buses = false to use the bus as it is."
            )


def _region(configured: str | None) -> str:
    region = configured or os.environ.get("AWS_REGION") or boto3.Session().region_name
    if not region:
        raise DeployError(
            "There is no AWS region. Set region in the environment's .tfvars, or AWS_REGION; it is where the data goes."
        )
    return region
