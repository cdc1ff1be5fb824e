"""What can be told before anything is planned: whose account it is, and whether Auth0 is there."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.deploy import DeployError
from pipeline.deploy.deployment import account_of

AUTH0: Final = "aws.partner/auth0.com/"


@dataclass(frozen=True)
class Identity:
    """Who the caller is to AWS, and where the deployment goes."""

    account: str
    arn: str
    region: str


def identify(settings: Mapping[str, Any]) -> Identity:
    """Ask AWS who the caller is. Raises DeployError, which says how to sign in."""
    region = _region(settings.get("region"))
    try:
        answer = boto3.client("sts", region_name=region).get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        profile = os.environ.get("AWS_PROFILE")
        raise DeployError(
            f"AWS does not know who you are{f' (AWS_PROFILE={profile})' if profile else ''}: {error}\n"
            "Sign in (aws sso login), choose a profile (export AWS_PROFILE=…), or set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, until `aws sts get-caller-identity` works."
        ) from None
    return Identity(answer["Account"], answer["Arn"], region)


def check_account(name: str, outputs: Mapping[str, Any], identity: Identity) -> None:
    """Raise DeployError if the state describes another account or region: everything in it would be made again."""
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


def check_sources(settings: Mapping[str, Any], identity: Identity, resources: Sequence[str]) -> None:
    """Raise DeployError if Auth0 has not made the partner event sources that the variables name."""
    if not settings["create_buses"]:
        return
    region = settings["source_region"] or identity.region
    events = boto3.client("events", region_name=region)
    try:
        pages = events.list_event_sources(NamePrefix=AUTH0, Limit=100)["EventSources"]
    except (BotoCoreError, ClientError):
        return  # the rights may be narrower than this; Terraform asks for each by its name, and says what it misses
    there = {source["Name"]: source["State"] for source in pages}
    ours = any("aws_cloudwatch_event_bus" in address for address in resources)
    for stream, variable in (("Log", "log_stream_source_name"), ("Event", "event_stream_source_name")):
        source = settings[variable]
        if source is None:
            continue
        if there.get(source, "DELETED") == "DELETED":
            gone = "was deleted in Auth0" if source in there else "does not exist"
            found = "".join(f"\n  {name} ({state})" for name, state in sorted(there.items()) if state != "DELETED")
            raise DeployError(
                f"{variable}: the event source {source} {gone}, in account {identity.account}, region {region}.\n"
                f"{f'There are:{found}' if found else 'There is none of Auth0.'}\n"
                f"Make the {stream} Stream in Auth0 (to Amazon EventBridge, with this account id and region), and copy "
                "the whole name of its event source from there; docs/deploy.md shows where."
            )
        if there[source] == "ACTIVE" and not ours:
            raise DeployError(
                f"{variable}: the event source {source} has an event bus already, which this deployment did not "
                "make. Set create_buses = false to use the bus as it is."
            )


def _region(configured: str | None) -> str:
    region = configured or os.environ.get("AWS_REGION") or boto3.Session().region_name
    if not region:
        raise DeployError(
            "There is no AWS region. Set region in the environment's .tfvars, or AWS_REGION; it is where the data goes."
        )
    return region
