import json
import re
import time
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


def alarm_on(aws: Aws, metric: str, missing: str, **settings: Any) -> str:
    """The name of an alarm that two of three data points above 1 of a metric would set off."""
    alarm, watched = name("alarm"), {"Namespace": "app", "MetricName": metric, "Period": 60, "Statistic": "Sum"}
    aws.client("cloudwatch").put_metric_alarm(
        AlarmName=alarm,
        EvaluationPeriods=3,
        DatapointsToAlarm=2,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData=missing,
        **(settings or watched),
    )
    return alarm


def state(aws: Aws, alarm: str) -> str:
    (described,) = aws.client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    return str(described["StateValue"])


def put(aws: Aws, metric: str, *values: float | None) -> None:
    """One data point a period, the newest last; None for a period without."""
    now = time.time() - 5
    data = [
        {"MetricName": metric, "Value": value, "Timestamp": now - 60 * age}
        for age, value in enumerate(reversed(values))
        if value is not None
    ]
    aws.client("cloudwatch").put_metric_data(Namespace="app", MetricData=data)


WITHOUT_DATA = {
    "breaching": "ALARM",
    "notBreaching": "OK",
    "missing": "INSUFFICIENT_DATA",
    "ignore": "INSUFFICIENT_DATA",
}


@pytest.mark.parametrize("missing", WITHOUT_DATA)
def test_alarm_without_any_data(aws: Aws, missing: str) -> None:
    assert state(aws, alarm_on(aws, name("metric"), missing)) == WITHOUT_DATA[missing]


# Of the User Guide's tables, with "2 out of 3": data points, and the state by how missing data is treated.
EXAMPLES = [
    ((0, None, 2, None, 2), "ALARM ALARM ALARM ALARM"),
    ((0, 0, 2, 0, 2), "ALARM ALARM ALARM ALARM"),
    ((0, None, 2, None, None), "OK OK ALARM OK"),
    ((None, None, None, None, 0), "OK OK ALARM OK"),
    ((None, None, None, None, 2), "INSUFFICIENT_DATA INSUFFICIENT_DATA ALARM OK"),
]


@pytest.mark.parametrize(("points", "states"), EXAMPLES)
def test_alarm_with_gaps_in_its_data(aws: Aws, points: tuple[float | None, ...], states: str) -> None:
    metric = name("metric")
    put(aws, metric, *points)
    alarms = [alarm_on(aws, metric, missing) for missing in ("missing", "ignore", "breaching", "notBreaching")]
    assert [state(aws, alarm) for alarm in alarms] == states.split()


def test_alarm_looks_at_its_own_dimensions(aws: Aws) -> None:
    metric = name("metric")
    put(aws, metric, 5, 5, 5)
    own = {"Dimensions": [{"Name": "sink", "Value": "postgres"}], "Statistic": "Sum", "Period": 60}
    assert state(aws, alarm_on(aws, "", "missing", Namespace="app", MetricName=metric, **own)) == "INSUFFICIENT_DATA"


def test_alarm_of_an_expression(aws: Aws) -> None:
    lost, all_of_them = name("lost"), name("all")
    metrics: list[dict[str, Any]] = [
        {"Id": "e", "Expression": "IF(lost > 0 AND all_ > lost, 9, 0)", "ReturnData": True}
    ]
    for key, metric in (("lost", lost), ("all_", all_of_them)):
        one = {"Metric": {"Namespace": "app", "MetricName": metric}, "Period": 60, "Stat": "Sum"}
        metrics.append({"Id": key, "MetricStat": one, "ReturnData": False})
    alarm = alarm_on(aws, "", "notBreaching", Metrics=metrics)
    assert state(aws, alarm) == "OK"
    put(aws, lost, 2, 2)
    put(aws, all_of_them, 2, 2)
    assert state(aws, alarm) == "OK"
    put(aws, all_of_them, 2, 2)
    assert state(aws, alarm) == "ALARM"


def test_actions_follow_a_change_of_state_and_only_that(aws: Aws) -> None:
    sns, metric, (url, arn) = aws.client("sns"), name("metric"), aws.queue()
    topic = sns.create_topic(Name=name("topic"))["TopicArn"]
    aws.subscribe(topic, url, arn)
    watched = {"Namespace": "app", "MetricName": metric, "Period": 60, "Statistic": "Sum"}
    actions = {key: [topic] for key in ("AlarmActions", "OKActions", "InsufficientDataActions")}
    alarm = alarm_on(aws, "", "missing", **watched, **actions)
    assert state(aws, alarm) == "INSUFFICIENT_DATA"
    assert "Messages" not in aws.sqs.receive_message(QueueUrl=url)
    put(aws, metric, 0)
    assert state(aws, alarm) == state(aws, alarm) == "OK"
    (message,) = aws.messages(url)
    assert json.loads(json.loads(message["Body"])["Message"])["NewStateValue"] == "OK"
