"""The state of a CloudWatch alarm, from the data points of its metric or of the expression that it watches.

AWS (CloudWatch User Guide, "Using Amazon CloudWatch alarms", "Configuring how CloudWatch alarms treat missing data";
API Reference: PutMetricAlarm): a new alarm is INSUFFICIENT_DATA and then evaluated, and actions follow each change of
state. An alarm looks at the data of its dimensions, some periods further back than EvaluationPeriods. Only where these
have fewer data points than EvaluationPeriods are missing ones filled in. Without any at all `breaching` is ALARM,
`notBreaching` OK, `missing` INSUFFICIENT_DATA, and `ignore` leaves the state. Metrics of AWS/DynamoDB always ignore.

MiniStack: does not evaluate an alarm without data, merges all dimensions of a metric, evaluates all periods as one, no
expressions, and only when metrics are put.

This patch evaluates alarms when they are set or described, or metrics are put. Expressions have only the function IF.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import ast
import logging
import operator
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ministack.services import cloudwatch

from devstack.emulator import patching

log = logging.getLogger("cloudwatch")

FURTHER_BACK = 2
"""Periods before the evaluated ones, as in the examples of AWS's documentation."""

Data = dict[str, Any]
_original: dict[str, Any] = {}

_BREACHING: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
_OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def apply() -> None:
    """Replace the evaluation of alarms, and run it before DescribeAlarms."""
    patching.require(
        cloudwatch, "_metrics", "_dims_key", "_dims_from_list", "_calc_stats", "_stat_value", "_record_history",
        "_dispatch_alarm_actions", "_evaluate_parent_alarms", "_evaluate_all_alarms",
    )  # fmt: skip
    patching.replace(cloudwatch, "_evaluate_alarm", evaluate_alarm)
    _original["_describe_alarms"] = patching.replace(cloudwatch, "_describe_alarms", describe_alarms)


def describe_alarms(params: Any, cbor_data: Data, is_cbor: bool, is_json: bool = False) -> Any:
    """DescribeAlarms, of alarms as they are now."""
    cloudwatch._evaluate_all_alarms()
    return _original["_describe_alarms"](params, cbor_data, is_cbor, is_json)


def evaluate_alarm(alarm: Data) -> None:
    """Set an alarm's state by its data points, and run the actions of a change."""
    old, new = alarm["StateValue"], state(alarm, time.time())
    if new in (None, old):
        return
    reason = f"Threshold Crossed or data missing, of the last {alarm['EvaluationPeriods']} periods."
    alarm |= {"StateValue": new, "StateReason": reason, "StateUpdatedTimestamp": int(time.time())}
    cloudwatch._record_history(alarm["AlarmName"], old, new, reason)
    cloudwatch._dispatch_alarm_actions(alarm, old, new, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def state(alarm: Data, now: float) -> str | None:
    """Return the new state of an alarm; None if it keeps its state."""
    wanted = alarm["EvaluationPeriods"]
    breaches = _BREACHING.get(alarm["ComparisonOperator"])
    points = _points(alarm, wanted + FURTHER_BACK, now)
    if breaches is None or points is None:
        return None  # anomaly detection, or an unsupported expression
    found = [breaches(point, alarm["Threshold"]) for point in points if point is not None][:wanted]
    missing = "ignore" if alarm.get("Namespace") == "AWS/DynamoDB" else alarm["TreatMissingData"]
    filled = found + [missing == "breaching"] * (wanted - len(found))
    if sum(filled) >= (alarm.get("DatapointsToAlarm") or wanted):
        return "ALARM"
    if len(found) == wanted or missing in ("breaching", "notBreaching") or not all(found):
        return "OK"
    return {"missing": "INSUFFICIENT_DATA"}.get(missing)


def _points(alarm: Data, periods: int, now: float) -> list[float | None] | None:
    """Return the value of each period or None, the newest first; None if they cannot be computed."""
    if not alarm.get("Metrics"):
        if not alarm.get("MetricName"):
            return None
        metric = {name: alarm.get(name) for name in ("Namespace", "MetricName", "Dimensions")}
        statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
        return _statistics(metric, statistic, alarm["Period"], periods, now)
    series = {
        one["Id"]: _statistics(stat["Metric"], stat["Stat"], int(stat["Period"]), periods, now)
        for one in alarm["Metrics"]
        if (stat := one.get("MetricStat"))
    }
    try:
        [expression] = [one["Expression"] for one in alarm["Metrics"] if one.get("Expression")]
        tree = _parsed(expression, series)
        return [_value(tree, {name: values[n] for name, values in series.items()}) for n in range(periods)]
    except (ValueError, SyntaxError) as problem:
        log.warning("CloudWatch: alarm %s is not evaluated: %r", alarm["AlarmName"], problem)
        return None


def _statistics(metric: Data, statistic: str, period: int, periods: int, now: float) -> list[float | None]:
    dimensions = cloudwatch._dims_key(cloudwatch._dims_from_list(metric.get("Dimensions") or []))
    key = (metric["Namespace"], metric["MetricName"], dimensions)
    by_period: dict[int, list[Data]] = {}
    for point in cloudwatch._metrics.get(key) or ():
        by_period.setdefault(int((now - point["Timestamp"]) // period), []).append(point)
    return [
        cloudwatch._stat_value(cloudwatch._calc_stats(by_period[n]), statistic, by_period[n])
        if n in by_period
        else None
        for n in range(periods)
    ]


def _parsed(expression: str, names: Iterable[str]) -> ast.expr:
    """Parse a metric math expression as Python's. Raises ValueError for unknown functions or names."""
    text = re.sub(r"&&|\bAND\b", " and ", re.sub(r"\|\||\bOR\b", " or ", expression))
    tree = ast.parse(text.strip(), mode="eval").body
    if unknown := {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - {*names, "IF"}:
        raise ValueError(f"{', '.join(unknown)} in {expression}")
    return tree


def _value(node: ast.expr, values: Mapping[str, float | None]) -> float | None:
    """Evaluate an expression for one period; return None if a metric that it needs has no value."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            return values[name]
        case ast.Call(func=ast.Name(id="IF"), args=[condition, then, otherwise]):
            chosen = _value(condition, values)
            return None if chosen is None else _value(then if chosen else otherwise, values)
        case ast.BoolOp(op=op, values=nodes):
            parts = [_value(part, values) for part in nodes]
            return None if None in parts else float((all if isinstance(op, ast.And) else any)(parts))
        case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
            one, other = _value(left, values), _value(right, values)
            return None if one is None or other is None else float(_OPERATORS[type(op)](one, other))
    raise ValueError(f"{ast.unparse(node)} is no metric math that is understood here")
