"""The migration alone: the deployed function, invoked, and what it answered."""

import base64
import json
from dataclasses import dataclass
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.deploy import DeployError
from pipeline.deploy.failures import function_error

LONGEST: Final = 900
"""Seconds that Lambda lets a function run."""

LOG_LINES: Final = 10
"""Lines of the log that are shown of a failure."""


@dataclass(frozen=True)
class Migrated:
    """The revisions before and after; None is before the first migration."""

    before: str | None
    after: str | None


def client(region: str) -> Any:
    """Return a client that waits as long as a function may run, and never invokes it twice."""
    config = Config(read_timeout=LONGEST + 30, retries={"total_max_attempts": 1}, tcp_keepalive=True)
    return boto3.client("lambda", region_name=region, config=config)


def migrate(client: Any, function: str, revision: str = "head") -> Migrated:
    """Bring the schema to a revision. Raises DeployError with the function's error and the end of its log."""
    payload = json.dumps({"revision": revision})
    try:
        answer = client.invoke(FunctionName=function, Payload=payload, LogType="Tail")
    except (BotoCoreError, ClientError) as error:
        raise DeployError(f"The function {function} could not be invoked: {error}") from error
    said = answer["Payload"].read().decode()
    if "FunctionError" in answer:
        log = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace").strip().splitlines()
        shown = "\nThe end of its log:\n" + "\n".join(log[-LOG_LINES:]) if log else ""
        raise DeployError(
            f"The migration to {revision} failed. What failed was rolled back; revisions before it stay.\n"
            f"  {function_error(said)}\n"
            f"Look:  aws logs tail /aws/lambda/{function} --since 15m{shown}"
        )
    result = json.loads(said)
    return Migrated(result["from"], result["to"])
