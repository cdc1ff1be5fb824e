"""Requests about a query are requests about its workgroup.

AWS (Service Authorization Reference, "Actions, resources, and condition keys for Amazon Athena"): the resource of
``GetQueryExecution``, ``GetQueryResults`` and ``StopQueryExecution`` is the workgroup of the query that they name.

MiniStack: takes any resource for these, so that a policy for one workgroup refuses the query's owner the result.
"""

import json
from typing import Any

from ministack.core import iam_actions
from ministack.services import athena

from devstack.emulator import patching

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the function that tells which resource a request names."""
    patching.require(athena, "_executions")
    name = "extract_resource_arn"
    _original[name] = patching.replace(iam_actions, name, extract_resource_arn)


def extract_resource_arn(
    service: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, Any],
    region: str,
    account_id: str,
) -> Any:
    """Return the ARN of the resource that a request names, or "*"."""
    found = _original["extract_resource_arn"](service, method, path, headers, body, query_params, region, account_id)
    if service != "athena" or found != "*":
        return found
    query = json.loads(body or b"{}").get("QueryExecutionId")
    known = athena._executions.get_scoped(account_id, region, query)  # noqa: SLF001 - patching.require checks it
    return f"arn:aws:athena:{region}:{account_id}:workgroup/{known['WorkGroup']}" if known else found
