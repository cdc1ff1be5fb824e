"""Findings from answers of AWS that the emulator does not give."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.doctor import Deployed, alarms, functions, queues, sources
from pipeline.doctor.findings import existing
from tests.doctor.support import NOW, FakeClock, deployed

SOURCE = "aws.partner/auth0.com/acme/auth0.logs"
FAILED = "https://sqs/f"


def aws_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "not there"}}, "DescribeRule")


class Aws:
    """Clients of every service, as far as these checks use them."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers
        self.asked: list[dict[str, Any]] = []

    def __getattr__(self, operation: str) -> Any:
        answer = self._answers[operation]

        def call(**arguments: Any) -> Any:
            self.asked.append(arguments)
            return answer(**arguments) if callable(answer) else answer

        return call


@pytest.mark.parametrize(
    ("state", "verdict", "detail", "advice"),
    [
        ("ACTIVE", "ok", f"{SOURCE} is ACTIVE", ""),
        ("PENDING", "bad", f"{SOURCE} is PENDING: it has no bus", "Deploy again"),
        ("DELETED", "bad", f"{SOURCE} is DELETED: Auth0 has deleted it", "Create the stream again"),
        ("ODD", "bad", f"{SOURCE} is ODD", ""),
    ],
)
@pytest.mark.parametrize(("sums", "arrived"), [([], "unknown"), ([1.0, 2.0], "ok")])
def test_sources(state: str, verdict: str, detail: str, advice: str, sums: list[float], arrived: str) -> None:
    events = Aws(describe_event_source={"State": state})
    cloudwatch = Aws(get_metric_statistics={"Datapoints": [{"Sum": value} for value in sums]})
    outputs = {
        "event_sources": {"log-stream": SOURCE},
        "rule_names": {"archive": {"log-stream": "all"}},
        "bus_names": {"log-stream": "bus"},
    }
    source, seen = sources.check(deployed(outputs, events=events, cloudwatch=cloudwatch))
    assert (source.title, source.verdict) == ("Event source of the Log Stream", verdict)
    assert source.detail.startswith(detail)
    assert source.advice.startswith(advice)
    assert (seen.title, seen.verdict) == ("Events of the Log Stream", arrived)
    assert seen.detail.startswith("3 in the last 24 hours" if sums else "none seen")
    [asked] = cloudwatch.asked
    assert asked["EndTime"] == NOW


def test_functions_that_cannot_run_are_found() -> None:
    answers = {
        "f-old": {},
        "f-idle": {"State": "Inactive", "LastUpdateStatus": "Successful"},
        "f-key": {"State": "Failed", "StateReason": "The key is disabled"},
        "f-updated": {"State": "Active", "LastUpdateStatus": "Failed", "LastUpdateStatusReason": "No subnet"},
    }

    def get_function_configuration(FunctionName: str) -> dict[str, str]:  # noqa: N803 - boto3's name
        if FunctionName not in answers:
            raise aws_error("ResourceNotFoundException")
        return answers[FunctionName]

    names = {name: f"f-{name}" for name in ("old", "idle", "key", "updated", "gone")}
    client = Aws(get_function_configuration=get_function_configuration)
    old, idle, key, updated, gone = functions.check(deployed({"function_names": names}, **{"lambda": client}))
    assert (old.title, old.verdict, idle.verdict) == ("Function old", "ok", "ok")
    assert key.detail == "Failed, Successful: The key is disabled"
    assert updated.detail == "Active, Failed: No subnet"
    assert {one.verdict for one in (key, updated, gone)} == {"bad"}
    assert "not there" in gone.detail
    assert "Deploy again" in gone.advice


def test_other_errors_of_aws_are_of_the_whole_check() -> None:
    def check() -> Any:
        raise aws_error("AccessDeniedException")

    with pytest.raises(ClientError):
        existing("Rule", check)


def two_regions(service: str, here: Aws, there: Aws, **outputs: Any) -> Deployed:
    regions = {"region": "eu-central-1", "source_region": "eu-west-1"}
    clients = {(service, "eu-central-1"): here, (service, "eu-west-1"): there}
    return Deployed("prod", regions | outputs, lambda name, region: clients[name, region], clock=FakeClock())


def test_dead_letter_queues_of_both_regions_are_counted() -> None:
    def holds(count: str) -> Aws:
        return Aws(get_queue_attributes={"Attributes": {"ApproximateNumberOfMessages": count}})

    urls = {
        "dlq_urls": {"postgres": FAILED},
        "target_dlq_urls": {"archive": FAILED},
        "relay_dlq_urls": {"logs": FAILED},
    }
    [found] = queues.check(two_regions("sqs", holds("0"), holds("2"), **urls))
    assert (found.verdict, found.detail) == ("bad", "not forwarded: logs holds 2")
    [found] = queues.check(two_regions("sqs", holds("0"), holds("0"), **urls))
    assert (found.verdict, found.detail) == ("ok", "all 3 are empty")


def test_alarms_of_both_regions_are_looked_at() -> None:
    def states(**states: str) -> Aws:
        found = [{"AlarmName": name, "StateValue": state} for name, state in states.items()]
        return Aws(describe_alarms={"MetricAlarms": found})

    names = {"alarm_names": {"a": "lag", "b": "silence", "c": "relay"}}
    here = states(lag="ALARM", silence="OK")
    [found] = alarms.check(two_regions("cloudwatch", here, states(), **names))
    assert (found.verdict, found.detail) == ("bad", "relay is missing; lag is in ALARM")
    here = states(lag="OK", silence="INSUFFICIENT_DATA")
    [found] = alarms.check(two_regions("cloudwatch", here, states(relay="OK"), **names))
    assert (found.verdict, found.detail) == ("ok", "3 there, none in ALARM; 1 have no data yet")
    [found] = alarms.check(two_regions("cloudwatch", here, here, alarm_names={}))
    assert found.verdict == "unknown"
