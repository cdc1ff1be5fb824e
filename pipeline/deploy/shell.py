"""The environment variables by which commands know a deployment, from Terraform's outputs."""

from collections.abc import Mapping
from typing import Any


def names(outputs: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of what a deployment has, as the commands and scripts read them."""
    found = {
        "USERS_TABLE": outputs["users_table"],
        "EVENT_BUS": outputs["bus_names"]["log-stream"],
        "ARCHIVE_BUCKET": outputs["archive_bucket"],
        "ARCHIVE_PREFIX": outputs["archive_prefix"],
        "ATHENA_WORKGROUP": outputs["athena_workgroup"],
        "ATHENA_DATABASE": outputs["glue_database"],
    }
    for sink in ("postgres", "dynamodb"):
        found[f"{sink.upper()}_QUEUE_URL"] = outputs["queue_urls"][sink]
        found[f"{sink.upper()}_DLQ_URL"] = outputs["dlq_urls"][sink]
    return found


def variables(outputs: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that point a shell at a deployment in AWS; credentials are the caller's own."""
    region = outputs["region"]
    found = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region} | names(outputs)
    if database := outputs.get("database"):
        found["CLUSTER_ARN"] = database["cluster_arn"]
        found["MASTER_SECRET_ARN"] = database["master_secret_arn"]
        found["PGDATABASE"] = database["name"]
    return found


def hidden(outputs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables that a shell must not have: with them the commands would ask another database."""
    return ("DATABASE_URL", "PGHOST") if outputs.get("database") else ()
