import re
import urllib.parse
import urllib.request
from typing import Any

import pytest

from .support import REGION, Aws, name

pytestmark = pytest.mark.emulator

TOPIC = f"arn:aws:sns:{REGION}:000000000000:alarms"


def query(aws: Aws, **parameters: Any) -> str:
    """Call CloudWatch by the query protocol, which boto3 no longer speaks; the answer without white space."""
    scope = f"Credential=test/20260101/{REGION}/monitoring/aws4_request"
    request = urllib.request.Request(
        aws.emulator.endpoint,
        data=urllib.parse.urlencode(parameters | {"Version": "2010-08-01"}).encode(),
        headers={"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=none"},
    )
    with urllib.request.urlopen(request) as response:
        return re.sub(r">\s+<", "><", response.read().decode())


def test_alarm_of_a_percentile_is_described_as_it_was_made(aws: Aws) -> None:
    alarm = name("alarm")
    query(
        aws,
        Action="PutMetricAlarm",
        AlarmName=alarm,
        AlarmDescription="a < b",
        Namespace="app",
        MetricName="Lag",
        ExtendedStatistic="p99",
        Period=300,
        Unit="Milliseconds",
        EvaluationPeriods=3,
        DatapointsToAlarm=2,
        Threshold=900000,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
        **{
            "Dimensions.member.1.Name": "sink",
            "Dimensions.member.1.Value": "postgres",
            "AlarmActions.member.1": TOPIC,
            "OKActions.member.1": TOPIC,
            "InsufficientDataActions.member.1": TOPIC,
        },
    )
    described = query(aws, Action="DescribeAlarms", **{"AlarmNames.member.1": alarm})
    for member in (
        "<AlarmDescription>a &lt; b</AlarmDescription>",
        "<ExtendedStatistic>p99</ExtendedStatistic>",
        "<Period>300</Period>",
        "<Unit>Milliseconds</Unit>",
        "<TreatMissingData>notBreaching</TreatMissingData>",
        "<ActionsEnabled>true</ActionsEnabled>",
        "<Dimensions><member><Name>sink</Name><Value>postgres</Value></member></Dimensions>",
        f"<AlarmActions><member>{TOPIC}</member></AlarmActions>",
        f"<OKActions><member>{TOPIC}</member></OKActions>",
        f"<InsufficientDataActions><member>{TOPIC}</member></InsufficientDataActions>",
    ):
        assert member in described
    assert "<Statistic>" not in described
    assert re.search(r"<StateUpdatedTimestamp>\d{4}-\d\d-\d\dT[\d:.]+Z</StateUpdatedTimestamp>", described)


def test_alarm_of_metric_math_keeps_its_metrics(aws: Aws) -> None:
    alarm = name("alarm")
    query(
        aws,
        Action="PutMetricAlarm",
        AlarmName=alarm,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="LessThanThreshold",
        **{
            "Metrics.member.1.Id": "total",
            "Metrics.member.1.Expression": "FILL(m1, 0)",
            "Metrics.member.1.ReturnData": "true",
            "Metrics.member.2.Id": "m1",
            "Metrics.member.2.ReturnData": "false",
            "Metrics.member.2.MetricStat.Metric.Namespace": "AWS/Events",
            "Metrics.member.2.MetricStat.Metric.MetricName": "MatchedEvents",
            "Metrics.member.2.MetricStat.Metric.Dimensions.member.1.Name": "RuleName",
            "Metrics.member.2.MetricStat.Metric.Dimensions.member.1.Value": "everything",
            "Metrics.member.2.MetricStat.Period": 3600,
            "Metrics.member.2.MetricStat.Stat": "Sum",
        },
    )
    (described,) = aws.client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    assert described["Metrics"] == [
        {"Id": "total", "Expression": "FILL(m1, 0)", "ReturnData": True},
        {
            "Id": "m1",
            "ReturnData": False,
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/Events",
                    "MetricName": "MatchedEvents",
                    "Dimensions": [{"Name": "RuleName", "Value": "everything"}],
                },
                "Period": 3600,
                "Stat": "Sum",
            },
        },
    ]
    assert not described.keys() & {"Period", "Statistic", "MetricName", "Namespace"}
    assert "<MetricStat><Metric><Namespace>AWS/Events</Namespace>" in query(
        aws, Action="DescribeAlarms", AlarmNamePrefix=alarm
    )


def test_composite_alarm_is_described_as_it_was_made(aws: Aws) -> None:
    cloudwatch, child, alarm = aws.client("cloudwatch"), name("child"), name("alarm")
    cloudwatch.put_metric_alarm(
        AlarmName=child,
        Namespace="app",
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    cloudwatch.put_composite_alarm(AlarmName=alarm, AlarmRule=f"ALARM({child})", AlarmActions=[TOPIC])
    kinds = {"AlarmTypes.member.1": "CompositeAlarm", "AlarmNames.member.1": alarm}
    described = query(aws, Action="DescribeAlarms", **kinds)
    assert f"<AlarmRule>ALARM({child})</AlarmRule>" in described
    assert f"<AlarmActions><member>{TOPIC}</member></AlarmActions>" in described
    assert "<ActionsEnabled>true</ActionsEnabled>" in described
