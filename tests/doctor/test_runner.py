"""Checks run in order, their errors are findings, and the progress shows which of them failed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from pipeline.doctor import CHECKS, Check, Deployed, Finding, run
from pipeline.doctor.findings import bad, ok, unknown
from pipeline.errors import BadSettings, CommandError
from tests.doctor.support import deployed

DEPLOYED = deployed({})


def aws_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no such rule"}}, "DescribeRule")


class Seen:
    """A Progress and its Step, which note what they were told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @contextmanager
    def step(self, title: str) -> Iterator["Seen"]:
        self.told.append(title)
        yield self

    def update(self, text: str) -> None:
        if text:
            self.told.append(text)

    def fail(self, text: str) -> None:
        self.told.append(f"✘ {text}")


def finds(*findings: Finding) -> Callable[[Deployed], list[Finding]]:
    return lambda _deployed: list(findings)


def raises(error: Exception) -> Callable[[Deployed], list[Finding]]:
    def check(_deployed: Deployed) -> list[Finding]:
        raise error

    return check


def test_findings_come_in_the_order_of_the_checks() -> None:
    seen = Seen()
    one, two, three = ok("1"), bad("2", "broken"), unknown("3", "who knows")
    checks = [Check("a", "A", finds(one, two, three), doing="looking"), Check("b", "B", finds(one))]
    assert run(checks, DEPLOYED, seen) == [one, two, three, one]
    assert seen.told == ["A", "looking", "✘ 1 not as it should be", "B"]


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (aws_error("ResourceNotFoundException"), "bad"),
        (aws_error("AccessDeniedException"), "unknown"),
        (aws_error("AccessDenied"), "unknown"),
        (EndpointConnectionError(endpoint_url="https://x"), "bad"),
        (BadSettings("x"), "bad"),
        (CommandError("x"), "bad"),
    ],
)
def test_an_error_is_a_finding_and_the_next_check_runs(error: Exception, verdict: str) -> None:
    failed, good = run([Check("a", "A", raises(error)), Check("b", "B", finds(ok("1")))], DEPLOYED, Seen())
    assert failed == Finding("A", verdict, str(error))  # type: ignore[arg-type]  # mypy does not know the literals
    assert good == ok("1")


def test_bug_in_a_check_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        run([Check("a", "A", raises(ZeroDivisionError()))], DEPLOYED, Seen())


@pytest.mark.parametrize("needed", [finds(ok("1"), bad("2", "")), finds(unknown("1", "")), raises(CommandError("x"))])
def test_a_check_does_not_run_without_what_it_needs(needed: Callable[[Deployed], list[Finding]]) -> None:
    checks = [Check("a", "A", needed), Check("b", "B", raises(AssertionError()), needs=("a",))]
    assert run(checks, DEPLOYED, Seen())[-1] == unknown("B", "not checked: it needs a")


def test_a_check_runs_where_what_it_needs_passed_or_was_not_asked_for() -> None:
    second = Check("b", "B", finds(ok("2")), needs=("a",))
    assert run([Check("a", "A", finds(ok("1"))), second], DEPLOYED, Seen()) == [ok("1"), ok("2")]
    assert run([second], DEPLOYED, Seen()) == [ok("2")]


def test_a_check_that_does_not_suit_is_not_shown() -> None:
    seen = Seen()
    assert run([Check("a", "A", raises(AssertionError()), suits=lambda _: False)], DEPLOYED, seen) == []
    assert seen.told == []


def test_a_check_needs_only_checks_before_it() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    for place, check in enumerate(CHECKS):
        assert set(check.needs) <= set(names[:place])


def test_findings_are_unknown_if_aws_denies_every_call() -> None:
    class Denied:
        def __getattr__(self, _operation: str) -> Callable[..., None]:
            def deny(**_: object) -> None:
                raise aws_error("AccessDeniedException")

            return deny

    outputs = {
        "event_sources": {"log-stream": "aws.partner/auth0.com/acme/auth0.logs"},
        "rule_names": {rule: {"log-stream": rule} for rule in ("user-changes", "user-signals", "archive")},
        "bus_names": {"log-stream": "bus"},
        "queue_urls": {"postgres": "https://sqs/p", "dynamodb": "https://sqs/d"},
        "dlq_urls": {"postgres": "https://sqs/pf"},
        "target_dlq_urls": {},
        "relay_dlq_urls": {},
        "function_names": {"sync-postgres": "f"},
        "event_source_mapping_ids": {"postgres": "1", "dynamodb": "2"},
        "users_table": "users",
        "firehose_name": "firehose",
        "glue_views": ["logs"],
        "glue_database": "glue",
        "athena_workgroup": "workgroup",
        "alarm_names": {"lag": "lag"},
    }
    denied = ("events", "cloudwatch", "lambda", "sqs", "dynamodb", "firehose", "athena")
    found = run(CHECKS, deployed(outputs, **dict.fromkeys(denied, Denied())), Seen())
    assert {finding.verdict for finding in found} == {"unknown"}
    assert all(one.title != other.title for one, other in pairwise(found))
