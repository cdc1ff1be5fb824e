"""The action and the resource that IAM evaluates for a request.

AWS (SQS Developer Guide, "Amazon SQS API permissions: Actions and resource reference"): a batch needs the right to the
action of one message, such as ``sqs:SendMessage``. The resource of ``StartMessageMoveTask`` and
``ListMessageMoveTasks`` is the source queue. (Service Authorization Reference, "Actions, resources, and condition keys"
for Lambda and Athena): a change of an event source mapping needs ``lambda:UpdateEventSourceMapping``. The resource of
``GetQueryExecution``, ``GetQueryResults`` and ``StopQueryExecution`` is the workgroup of the query that they name. (KMS
Developer Guide, "Specifying KMS keys in IAM policy statements"): the resource of a key's use is the key, also by alias.

MiniStack: asks for actions that do not exist, such as ``sqs:SendMessageBatch``, and lets everybody change a mapping. It
knows no resource of a move task and of a query, so that a policy for one queue or workgroup refuses its owner. It takes
an alias for the resource.
"""

# ruff: noqa: SLF001 - MiniStack's names are private; patching.require checks them

import base64
import binascii
import json
from typing import Any

from ministack.core import iam_actions
from ministack.services import athena, kms

from devstack.emulator import patching

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the functions that derive a request's action and resource."""
    patching.require(athena, "_executions")
    patching.require(kms, "_resolve_key")
    for name, new in (("extract_iam_action", extract_iam_action), ("extract_resource_arn", extract_resource_arn)):
        _original[name] = patching.replace(iam_actions, name, new)


def extract_iam_action(
    service: str, method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any]
) -> str | None:
    """Return the action of a request, such as ``sqs:SendMessage``, or None."""
    action: str | None = _original["extract_iam_action"](service, method, path, headers, body, query_params)
    if service == "lambda" and method == "PUT" and "/event-source-mappings/" in path:
        return "lambda:UpdateEventSourceMapping"
    return action.removesuffix("Batch") if action and service == "sqs" else action


def extract_resource_arn(
    service: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, Any],
    region: str,
    account_id: str,
) -> str:
    """Return the ARN of a request's resource, or ``*``."""
    found: str = _original["extract_resource_arn"](
        service, method, path, headers, body, query_params, region, account_id
    )
    if service == "kms" and ":alias/" in found:
        return str((kms._resolve_key(found) or {"Arn": found})["Arn"])
    if found != "*":
        return found
    try:
        match service:
            case "sqs":
                return _source_queue(json.loads(body))
            case "athena":
                return _workgroup(json.loads(body)["QueryExecutionId"], region, account_id)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        pass  # a request without a resource, or none that the service can read
    return found


def _source_queue(move: dict[str, Any]) -> str:
    """Return the ARN of the queue whose messages a request moves."""
    return str(move.get("SourceArn") or json.loads(base64.b64decode(move["TaskHandle"]))["sourceArn"])


def _workgroup(query: str, region: str, account_id: str) -> str:
    """Return the ARN of the workgroup of a query."""
    known = athena._executions.get_scoped(account_id, region, query)
    return f"arn:aws:athena:{region}:{account_id}:workgroup/{known['WorkGroup']}"
