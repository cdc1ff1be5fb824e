"""Describe VPC flow logs with all their settings.

AWS (EC2 API Reference: CreateFlowLogs, DescribeFlowLogs, FlowLog, TagSpecification): the role, the log group's name,
the format and the aggregation interval are described, ten minutes where none was asked for; and the tags, which are
given for a ``vpc-flow-log``.

MiniStack: keeps none of these, so Terraform would replace the flow log with every apply.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import re
from typing import Any
from xml.sax.saxutils import escape

from ministack.services import ec2

from devstack.emulator import patching

DEFAULT_FORMAT = (
    "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} "
    "${bytes} ${start} ${end} ${action} ${log-status}"
)

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the creation and the description of flow logs."""
    patching.require(ec2, "_flow_logs", "_p", "_parse_tag_specs")
    for action, new in (("CreateFlowLogs", create_flow_logs), ("DescribeFlowLogs", describe_flow_logs)):
        _original[action] = patching.replace_action(ec2, action, new)


def create_flow_logs(params: Any) -> Any:
    """CreateFlowLogs, keeping every setting."""
    before = set(ec2._flow_logs.keys())
    answer = _original["CreateFlowLogs"](params)
    for name in set(ec2._flow_logs.keys()) - before:
        ec2._parse_tag_specs(params, "vpc-flow-log", name)
        record = ec2._flow_logs[name]
        group = re.fullmatch(r"arn:[^:]+:logs:[^:]+:\d+:log-group:(.+?)(:\*)?", record["LogDestination"])
        record["settings"] = {
            "deliverLogsPermissionArn": ec2._p(params, "DeliverLogsPermissionArn"),
            "logGroupName": ec2._p(params, "LogGroupName") or (group[1] if group else ""),
            "logFormat": ec2._p(params, "LogFormat") or DEFAULT_FORMAT,
            "maxAggregationInterval": ec2._p(params, "MaxAggregationInterval") or "600",
            "deliverLogsStatus": "SUCCESS",
        }
    return answer


def describe_flow_logs(params: Any) -> Any:
    """DescribeFlowLogs, with every setting."""
    status, headers, body = _original["DescribeFlowLogs"](params)

    def describe(match: re.Match[str]) -> str:
        settings = ec2._flow_logs[match[1]].get("settings", {})
        members = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in settings.items() if value)
        return f"{match[0]}{members}"

    text = body.decode() if isinstance(body, bytes) else body
    return status, headers, re.sub(r"<flowLogId>([^<]+)</flowLogId>", describe, text).encode()
