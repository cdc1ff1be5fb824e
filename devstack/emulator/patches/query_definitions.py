"""Saved queries of CloudWatch Logs Insights.

AWS (CloudWatch Logs API Reference: PutQueryDefinition, DescribeQueryDefinitions, DeleteQueryDefinition): a query is
made without an id and changed with one; it is listed by the beginning of its name, up to 1,000 at once.

MiniStack: does not have them.
"""

import json
import time
from typing import Any

from ministack.core import responses
from ministack.services import cloudwatch_logs

from devstack.emulator import patching

Data = dict[str, Any]
_original: dict[str, Any] = {}
_definitions = responses.AccountRegionScopedDict()


def apply() -> None:
    """Handle the operations before MiniStack's router does."""
    _original["handle_request"] = patching.replace(cloudwatch_logs, "handle_request", handle_request)


async def handle_request(method: str, path: str, headers: Any, body: Any, query_params: Any) -> Any:
    """Handle every request of the service."""
    operation = {
        "PutQueryDefinition": put_query_definition,
        "DescribeQueryDefinitions": describe_query_definitions,
        "DeleteQueryDefinition": delete_query_definition,
    }.get(headers.get("x-amz-target", "").rpartition(".")[2])
    if operation is None:
        return await _original["handle_request"](method, path, headers, body, query_params)
    return operation(json.loads(body or "{}"))


def put_query_definition(data: Data) -> Any:
    """PutQueryDefinition."""
    name = data.get("queryDefinitionId") or responses.new_uuid()
    if data.get("queryDefinitionId") and name not in _definitions:
        return _unknown(name)
    kept = ("name", "queryString", "queryLanguage", "logGroupNames")
    _definitions[name] = {
        "queryDefinitionId": name,
        "lastModified": int(time.time() * 1000),
        "logGroupNames": [],
        **{key: data[key] for key in kept if key in data},
    }
    return responses.json_response({"queryDefinitionId": name})


def describe_query_definitions(data: Data) -> Any:
    """DescribeQueryDefinitions, in one page."""
    prefix = data.get("queryDefinitionNamePrefix") or ""
    found = [definition for definition in _definitions.values() if definition["name"].startswith(prefix)]
    return responses.json_response({"queryDefinitions": found})


def delete_query_definition(data: Data) -> Any:
    """DeleteQueryDefinition."""
    name = data.get("queryDefinitionId", "")
    if _definitions.pop(name, None) is None:
        return _unknown(name)
    return responses.json_response({"success": True})


def _unknown(name: str) -> Any:
    return responses.error_response_json("ResourceNotFoundException", f"Query definition {name} does not exist.", 400)
