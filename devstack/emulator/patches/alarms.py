"""Set and describe CloudWatch alarms in the query protocol, which Terraform uses.

AWS (CloudWatch API Reference: PutMetricAlarm, DescribeAlarms, MetricAlarm, CompositeAlarm): an alarm is about one
metric, or about the expressions and metrics of ``Metrics``; it is described with all that was set and nothing else.

MiniStack: describes, in this protocol, a few members of each alarm. It drops ``Metrics``, and gives every alarm a
statistic and a period.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import json
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from ministack.services import cloudwatch

from devstack.emulator import patching

Data = dict[str, Any]
_original: dict[str, Any] = {}

_IF_SET = ("AlarmDescription", "Namespace", "MetricName", "Statistic", "ExtendedStatistic", "Period", "Unit")
_BESIDES = ("Metrics", "InsufficientDataActions", "EvaluateLowSampleCountPercentile", "ThresholdMetricId")


def apply() -> None:
    """Replace the setting and the description of alarms."""
    patching.require(cloudwatch, "_alarms", "_p", "_xml")
    for name, new in (("_put_metric_alarm", put_metric_alarm), ("_describe_alarms", describe_alarms)):
        _original[name] = patching.replace(cloudwatch, name, new)


def put_metric_alarm(params: Any, cbor_data: Data, is_cbor: bool, is_json: bool = False) -> Any:
    """PutMetricAlarm, with metric math and without settings that the request lacks."""
    request = cbor_data if is_cbor or is_json else _members(params)
    answer = _original["_put_metric_alarm"](params, cbor_data, is_cbor, is_json)
    if answer[0] == 200:
        alarm = cloudwatch._alarms[request["AlarmName"]]
        for name in _IF_SET:
            if not request.get(name):
                alarm.pop(name, None)
        alarm |= {name: request[name] for name in _BESIDES if request.get(name)}
    return answer


def describe_alarms(params: Any, cbor_data: Data, is_cbor: bool, is_json: bool = False) -> Any:
    """DescribeAlarms, with every member in each protocol."""
    if is_cbor or is_json:
        return _original["_describe_alarms"](params, cbor_data, is_cbor, is_json)
    status, headers, body = _original["_describe_alarms"](params, _members(params), False, True)
    if status != 200:
        return status, headers, body
    result = f"<DescribeAlarmsResult>{_xml(json.loads(body))}</DescribeAlarmsResult>"
    return cloudwatch._xml(200, "DescribeAlarmsResponse", result)


def _members(params: Any) -> Data:
    """Parse a request of the query protocol: ``A.member.1.B=…`` as ``{"A": [{"B": …}]}``."""
    tree: Data = {}
    for name in params:
        *path, last = name.split(".")
        place = tree
        for step in path:
            place = place.setdefault(step, {})
        place[last] = cloudwatch._p(params, name)
    return {name: _lists(value) for name, value in tree.items()}


def _lists(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        if value.keys() == {"member"}:
            return [_lists(value["member"][key]) for key in sorted(value["member"], key=int)]
        return {key: _lists(item, key) for key, item in value.items()}
    match name:
        case "Period":
            return int(value)
        case "ReturnData":
            return value == "true"
        case _:
            return value


def _xml(value: Any, name: str = "") -> str:
    """Write a value of the JSON protocol in the query protocol."""
    if isinstance(value, dict):
        return "".join(f"<{key}>{_xml(item, key)}</{key}>" for key, item in value.items() if item is not None)
    if isinstance(value, list):
        return "".join(f"<member>{_xml(item)}</member>" for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    if name.endswith("Timestamp"):
        return datetime.fromtimestamp(float(value), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return escape(str(value))
