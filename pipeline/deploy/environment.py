"""The environment variables that describe a deployment to commands, from Terraform's outputs."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pipeline.deploy import DeployError

SOME: Final = (
    "EVENT_STREAM_SOURCE", "EVENT_STREAM_BUS", "REFRESH_QUEUE_URL", "REFRESH_DLQ_URL", "KMS_KEY_ARN",
    "MANIFEST_FUNCTION", "MANIFEST_KEY_ARN", "ARCHIVE_LOCK_DAYS",
    "CLUSTER_ID", "CLUSTER_ARN", "QUERY_SECRET_ARN", "PGDATABASE",
)  # fmt: skip
"""The variables that only some deployments have."""

STACK: Final = (
    "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED", "DATABASE_URL",
)  # fmt: skip
"""The variables that point a shell at the embedded stack, and so away from AWS."""


def names(outputs: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of a deployment's resources as the variables of commands and scripts.

    Raises DeployError if an earlier version made the deployment and an output is missing.
    """
    try:
        found = {
            "DEPLOYMENT": outputs["deployment"],
            "SOURCE_REGION": outputs["source_region"],
            "LOG_STREAM_SOURCE": outputs["event_sources"]["log-stream"],
            "EVENT_STREAM_SOURCE": outputs["event_sources"].get("event-stream"),
            "EVENT_BUS": outputs["bus_names"]["log-stream"],
            "EVENT_STREAM_BUS": outputs["bus_names"].get("event-stream"),
            "USERS_TABLE": outputs["users_table"],
            "KMS_KEY_ARN": outputs.get("kms_key_arn"),  # Terraform leaves out outputs that are null
            "ARCHIVE_BUCKET": outputs["archive_bucket"],
            "ARCHIVE_PREFIX": outputs["archive_prefix"],
            "ARCHIVE_ERROR_PREFIX": outputs["archive_error_prefix"],
            "ARCHIVE_LOCK_DAYS": outputs.get("archive_lock_days"),
            "MANIFEST_FUNCTION": outputs["function_names"].get("manifest"),
            "MANIFEST_KEY_ARN": outputs.get("manifest_key_arn"),
            "ATHENA_WORKGROUP": outputs["athena_workgroup"],
            "ATHENA_DATABASE": outputs["glue_database"],
        }
        for consumer in ("postgres", "dynamodb", "refresh"):
            found[f"{consumer.upper()}_QUEUE_URL"] = outputs["queue_urls"].get(consumer)
            found[f"{consumer.upper()}_DLQ_URL"] = outputs["dlq_urls"].get(consumer)
    except KeyError as error:
        raise DeployError(
            f"An earlier version of auth0-sync deployed this: Terraform's outputs lack {error}. Deploy again."
        ) from None
    return {name: str(value) for name, value in found.items() if value}


def variables(outputs: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that point a shell at a deployment in AWS; credentials are the caller's own."""
    region = outputs["region"]
    found = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region} | names(outputs)
    if database := outputs.get("database"):
        found["CLUSTER_ID"] = database["cluster_identifier"]
        found["CLUSTER_ARN"] = database["cluster_arn"]
        found["QUERY_SECRET_ARN"] = outputs["query_secret_arn"]
        found["PGDATABASE"] = database["name"]
    return found


def hidden(outputs: Mapping[str, Any], shell: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables to unset in `shell`: of another deployment, of another database, of the embedded stack."""
    found = [name for name in SOME if name not in variables(outputs)]
    if uses_stack(shell):
        found += STACK
    if outputs.get("database"):
        found += ["DATABASE_URL", "PGHOST"]
    return tuple(dict.fromkeys(found))


def uses_stack(shell: Mapping[str, str]) -> bool:
    """Return whether a shell has the variables of the embedded stack: an endpoint on this machine, and its keys."""
    host = urlsplit(shell.get("AWS_ENDPOINT_URL", "")).hostname
    return host in ("127.0.0.1", "localhost") and shell.get("AWS_ACCESS_KEY_ID") == "test"
