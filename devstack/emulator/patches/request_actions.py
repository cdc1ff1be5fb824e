"""What IAM is asked about batches and move tasks of SQS, and about changes of event source mappings.

AWS (SQS Developer Guide, "Amazon SQS API permissions: Actions and resource reference"): a batch needs the right to the
action of one message, such as ``sqs:SendMessage``. The resource of ``StartMessageMoveTask`` and
``ListMessageMoveTasks`` is the source queue. (Service Authorization Reference, "Actions, resources, and condition keys
for AWS Lambda"): a change of a mapping needs ``lambda:UpdateEventSourceMapping``.

MiniStack: asks for actions that do not exist, such as ``sqs:SendMessageBatch``, knows no resource of a move task, and
lets everybody change a mapping.
"""

import base64
import binascii
import json
from typing import Any

from ministack.core import iam_actions

from devstack.emulator import patching

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the functions that derive a request's action and resource."""
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
    if service != "sqs" or found != "*":
        return found
    try:
        data = json.loads(body)
        return str(data.get("SourceArn") or json.loads(base64.b64decode(data["TaskHandle"]))["sourceArn"])
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        return found
