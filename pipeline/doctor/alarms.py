"""CloudWatch's alarms."""

from pipeline.doctor.deployed import Deployed
from pipeline.doctor.findings import Finding, bad, ok, unknown

_BATCH = 100
"""Alarms per DescribeAlarms call."""


def check(deployed: Deployed) -> list[Finding]:
    """Check that every alarm exists and none is in ALARM, also in the region that forwards events."""
    title = "Alarms"
    names = sorted(deployed.outputs["alarm_names"].values())
    if not names:
        return [unknown(title, "there are none (alarms.enabled)")]
    states: dict[str, str] = {}
    for cloudwatch in (deployed.client("cloudwatch"), *([deployed.source_client("cloudwatch")] * deployed.forwards)):
        for start in range(0, len(names), _BATCH):
            answer = cloudwatch.describe_alarms(AlarmNames=names[start : start + _BATCH], MaxRecords=_BATCH)
            states |= {alarm["AlarmName"]: alarm["StateValue"] for alarm in answer["MetricAlarms"]}
    problems = [f"{name} is missing" for name in names if name not in states]
    problems += [f"{name} is in ALARM" for name, state in states.items() if state == "ALARM"]
    if problems:
        return [bad(title, "; ".join(problems), "docs/runbook.md says what each alarm means and what to do")]
    waiting = sum(state == "INSUFFICIENT_DATA" for state in states.values())
    return [ok(title, f"{len(names)} there, none in ALARM" + (f"; {waiting} have no data yet" if waiting else ""))]
