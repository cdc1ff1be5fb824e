"""Alarms, dashboard and saved queries as Terraform makes them, against what the functions send and the runbook says.

They come from the runs in the module's tests/observability.tftest.hcl: the provider is a mock, the values are real.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from pipeline import telemetry
from pipeline.auth0.envelope import Deferred
from pipeline.auth0.settings import Refresh as Config
from pipeline.auth0.signals import Signals, Wanted
from pipeline.batch import Counts
from pipeline.changes import Outcome
from pipeline.errors import Refused
from pipeline.functions import manifest, reconcile
from pipeline.functions.refresh import Refresh, Run
from pipeline.reconcile.look import Report
from pipeline.sinks import Sink
from tests.infra.deployed import State
from tests.invoking import sync_with
from tests.manifest.bucket import SETTINGS, START, Bucket, Key
from tests.strategies import updated, user

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra/terraform"
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
METRICS = (ROOT / "docs/metrics.md").read_text()
RUNS = ("minimal", "everything")

DEPLOYMENT, ENV, RUNBOOK_URL = "auth0-sync-test", "acme", "https://example.com/runbook"

# The metrics of AWS that are used, and the dimensions by which it sends them, as the services' documentation has them.
# A rule of a bus of its own is known by both names; the rule's alone is one of the default bus.
SENT_BY_AWS = (
    ("AWS/SQS", "QueueName", "ApproximateNumberOfMessagesVisible ApproximateAgeOfOldestMessage"),
    ("AWS/Events", "EventBusName RuleName", "MatchedEvents Invocations FailedInvocations"),
    ("AWS/Events", "EventBusName RuleName", "InvocationsSentToDlq InvocationsFailedToBeSentToDlq"),
    ("AWS/Lambda", "FunctionName", "Errors Throttles Duration"),
    ("AWS/DynamoDB", "TableName", "WriteThrottleEvents ConsumedWriteCapacityUnits ConditionalCheckFailedRequests"),
    ("AWS/DynamoDB", "TableName Operation", "SystemErrors SuccessfulRequestLatency"),
    ("AWS/RDS", "DBClusterIdentifier", "ACUUtilization ServerlessDatabaseCapacity DatabaseConnections CommitLatency"),
    ("AWS/Firehose", "DeliveryStreamName", "IncomingRecords ThrottledRecords"),
    ("AWS/Firehose", "DeliveryStreamName", "DeliveryToS3.DataFreshness DeliveryToS3.Success DeliveryToS3.Records"),
)
AWS = {(space, name): set(names.split()) for space, names, metrics in SENT_BY_AWS for name in metrics.split()}


@dataclass(frozen=True)
class Made:
    """The resources that one run made."""

    alarms: list[Json]
    widgets: list[Json]
    queries: dict[str, str]
    filters: list[Json]

    @property
    def kinds(self) -> set[str]:
        return {alarm["alarm_description"].rpartition("#")[2] for alarm in self.alarms}


@pytest.fixture(scope="module")
def made(states: dict[tuple[str, str], Json]) -> dict[str, Made]:
    """Return the resources, by run."""
    return {run: _made(states["observability", run]["resources"]) for run in RUNS}


def _made(resources: list[Json]) -> Made:
    def of(kind: str) -> list[Json]:
        return [one["values"] for one in resources if one["type"] == kind]

    [dashboard] = of("aws_cloudwatch_dashboard")
    return Made(
        of("aws_cloudwatch_metric_alarm"),
        json.loads(dashboard["dashboard_body"])["widgets"],
        {one["name"]: one["query_string"] for one in of("aws_cloudwatch_query_definition")},
        of("aws_cloudwatch_log_metric_filter"),
    )


# --- what they watch ---------------------------------------------------------------------------------------------

WATCHED = {
    "DBClusterIdentifier": ("aws_rds_cluster", "cluster_identifier"),
    "DeliveryStreamName": ("aws_kinesis_firehose_delivery_stream", "name"),
    "FunctionName": ("aws_lambda_function", "function_name"),
    "QueueName": ("aws_sqs_queue", "name"),
    "RuleName": ("aws_cloudwatch_event_rule", "name"),
    "TableName": ("aws_dynamodb_table", "name"),
}
"""The type of the resource that each dimension names, and the attribute with the name."""


def test_an_alarm_watches_what_there_is(state: Json) -> None:
    """observability.tf spells these names; each must be a resource's."""
    deployed, watched = State(state), set()
    for alarm in deployed.all("aws_cloudwatch_metric_alarm"):
        metrics = [metric for query in alarm.values["metric_query"] for metric in query["metric"]]
        for dimensions in [alarm.values["dimensions"] or {}, *(metric["dimensions"] or {} for metric in metrics)]:
            for dimension in WATCHED.keys() & dimensions:
                kind, attribute = WATCHED[dimension]
                names = {one.values[attribute] for one in deployed.all(kind)}
                assert dimensions[dimension] in names, alarm.address
                watched.add(dimension)
    assert watched == WATCHED.keys()


def test_an_alarm_waits_for_nothing_that_takes_long(state: Json) -> None:
    """Alarms that depend on what they watch are created last and deleted first."""
    kinds = {kind for kind, _ in WATCHED.values()} - {"aws_cloudwatch_event_rule", "aws_sqs_queue"}  # of the relay
    alarms = State(state).all("aws_cloudwatch_metric_alarm", "module.observability")
    assert len(alarms) > 50
    for alarm in alarms:
        assert not [block for block in alarm.ancestors if block.split(".")[-2] in kinds], alarm.address


# --- the runbook --------------------------------------------------------------------------------------------------


def sections(title: str, level: str = "###") -> dict[str, str]:
    """Return the sections of a chapter of the runbook, by heading."""
    chapter = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", RUNBOOK, flags=re.M | re.S)
    assert chapter is not None
    parts = re.split(rf"^{level} (.*)$", chapter[1], flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def blocks() -> Iterator[str]:
    """Return the blocks of shell commands in the docs."""
    for text in (RUNBOOK, METRICS):
        yield from re.findall(r"^```sh\n(.*?)^```", text, flags=re.M | re.S)


def test_every_alarm_has_its_section_and_every_section_its_alarm(made: dict[str, Made]) -> None:
    assert made["everything"].kinds | made["minimal"].kinds == set(sections("Alarms"))


@pytest.mark.parametrize("kind", sections("Alarms"))
def test_a_section_says_what_it_means_how_to_look_and_what_to_do(kind: str) -> None:
    parts = re.split(r"\*\*(\w+)\.\*\* ?", sections("Alarms")[kind])[1:]
    assert parts[::2] == ["Means", "Look", "Do"]
    assert all(part.strip() for part in parts[1::2])


@pytest.mark.parametrize("run", RUNS)
def test_an_alarm_says_what_it_means_in_a_sentence_and_where_more_is(made: dict[str, Made], run: str) -> None:
    for alarm in made[run].alarms:
        meaning, _, where = alarm["alarm_description"].partition(f". ENV={ENV}. See {RUNBOOK_URL}#")
        assert re.fullmatch(r"[^.]+(\.\d[^.]*)?", meaning)
        assert re.fullmatch(r"[a-z-]+", where)
        kind = alarm["alarm_description"].rpartition("#")[2]
        assert re.match(rf"{DEPLOYMENT}-{kind}(-|$)", alarm["alarm_name"])


def test_links_within_the_docs_lead_somewhere() -> None:
    def anchors(text: str) -> set[str]:
        headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), flags=re.M)
        return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}

    for text in (RUNBOOK, METRICS):
        for path, anchor in re.findall(r"\]\(([^)#]*)#([^)]+)\)", text):
            assert anchor in anchors((ROOT / "docs" / path).read_text() if path else text), anchor


@pytest.mark.parametrize("block", list(blocks()))
def test_advice_is_valid_shell(block: str) -> None:
    done = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False)
    assert done.stderr == ""


BEYOND_THE_API = {("rds", "wait"), ("dynamodb", "wait")}
GLOBAL = {"cli-read-timeout", "query", "output", "region"}


def commands() -> set[str]:
    """Return every call of the AWS CLI in the runbook, with its options."""
    whole = RUNBOOK.replace("\\\n", " ")
    calls = re.findall(r"\baws ([a-z0-9-]+ [a-z0-9-]+)((?: [^\n|`;]*)?)", whole)
    return {f"{call} {options.strip()}" for call, options in calls if not call.startswith("cli")}


@pytest.mark.parametrize("command", sorted(commands()))
def test_every_aws_command_exists(command: str) -> None:
    service, operation = command.split()[:2]
    if (service, operation) in BEYOND_THE_API:
        return
    model = botocore.session.get_session().get_service_model(service)
    [name] = [one for one in model.operation_names if xform_name(one, "-") == operation]
    shape = model.operation_model(name).input_shape
    members = {xform_name(member, "-") for member in shape.members} if shape else set()
    for option in re.findall(r"(?:^|\s)--([a-z0-9-]+)", command):
        assert option.removeprefix("no-") in members | GLOBAL, f"{operation} has no --{option}"


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 20


def test_the_query_of_one_user_says_how_to_find_the_pseudonym(made: dict[str, Made]) -> None:
    assert "auth0-sync pseudonym" in made["minimal"].queries[f"{DEPLOYMENT}/one-user"]


# --- metrics ------------------------------------------------------------------------------------------------------


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, ...], str]:
    """Return the unit of every metric that the functions of the deployment send, by name and dimensions."""
    monkeypatch.setenv("DEPLOYMENT", DEPLOYMENT)
    for service in ("sync-postgres", "sync-dynamodb"):
        monkeypatch.setenv("SERVICE_NAME", service)
        telemetry.count(service.removeprefix("sync-"), Counts(received=1), lag=1)
    monkeypatch.setenv("SERVICE_NAME", "refresh")
    signals = Signals(received=1, users={"auth0|ada": Wanted(["m"], Deferred(0), 0)})
    unused: Any = None
    Run(signals, Refresh(Config("", ()), unused, unused, unused)).count(0)
    monkeypatch.setenv("SERVICE_NAME", "manifest")
    manifest.count(manifest.Run(SETTINGS, Bucket(), Key(), START))
    monkeypatch.setenv("SERVICE_NAME", "reconcile")
    reconcile.count(Report(finished=True))
    found = {}
    for line in capsys.readouterr().out.splitlines():
        if '"_aws"' not in line:
            continue
        emf = json.loads(line)
        [directive] = emf["_aws"]["CloudWatchMetrics"]
        [names] = directive["Dimensions"]
        dimensions = sorted(f"{name}={emf[name]}" for name in names)
        for metric in directive["Metrics"]:
            found[directive["Namespace"], metric["Name"], *dimensions] = metric["Unit"]
    return found


def referred(made: Made) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Namespace, name and dimensions of every metric in alarms and on the dashboard."""
    for alarm in made.alarms:
        for metric in metrics(alarm):
            yield metric["namespace"], metric["metric_name"], metric["dimensions"] or {}
    for widget in made.widgets:
        for namespace, name, *dimensions in references(widget):
            yield namespace, name, dict(zip(dimensions[::2], dimensions[1::2], strict=True))


def metrics(alarm: Json) -> list[Json]:
    """Return the metrics of an alarm, of its expression if it has one, with their period."""
    queries = [metric for query in alarm["metric_query"] for metric in query["metric"]]
    return queries or [alarm]


def references(widget: Json) -> Iterator[list[str]]:
    """Yield the metrics of a widget without their options; expressions apart."""
    for metric in widget["properties"].get("metrics", []):
        strings = [part for part in metric if isinstance(part, str)]
        assert len(metric) - len(strings) <= 1
        if strings:
            yield strings


@pytest.mark.parametrize("run", RUNS)
def test_alarms_and_dashboard_look_at_what_is_sent(
    made: dict[str, Made], run: str, sent: dict[tuple[str, ...], str]
) -> None:
    [errors] = made[run].filters
    [counted] = errors["metric_transformation"]
    for namespace, name, dimensions in referred(made[run]):
        if namespace == counted["namespace"]:
            assert (name, dimensions) == (counted["name"], {})
        elif namespace == "auth0-sync":
            assert (namespace, name, *sorted(f"{key}={value}" for key, value in dimensions.items())) in sent
        else:
            assert dimensions.keys() == AWS[namespace, name], f"{namespace} {name}"
            assert all(dimensions.values())


def test_the_dashboard_shows_everything_that_functions_send(
    made: dict[str, Made], sent: dict[tuple[str, ...], str]
) -> None:
    shown = {name for namespace, name, _ in referred(made["everything"]) if namespace == "auth0-sync"}
    assert {name for _, name, *_ in sent} - shown == {"Received"}  # the sum of the fates


@pytest.mark.parametrize("run", RUNS)
def test_alarms_are_within_cloudwatchs_limits(made: dict[str, Made], run: str) -> None:
    names = [alarm["alarm_name"] for alarm in made[run].alarms]
    assert len(set(names)) == len(names) > 25
    for alarm in made[run].alarms:
        [period] = {metric["period"] for metric in metrics(alarm)}
        assert period % 60 == 0
        assert period * alarm["evaluation_periods"] <= 86_400
        assert 1 <= alarm["datapoints_to_alarm"] <= alarm["evaluation_periods"]
        assert [bool(alarm["statistic"]), bool(alarm["extended_statistic"]), bool(alarm["metric_query"])].count(
            True
        ) == 1
        assert len(alarm["alarm_name"]) <= 255
        assert len(alarm["alarm_description"]) <= 1024


@pytest.mark.parametrize("run", RUNS)
def test_an_expression_names_its_metrics_and_is_what_the_alarm_watches(made: dict[str, Made], run: str) -> None:
    expressions = [alarm["metric_query"] for alarm in made[run].alarms if alarm["metric_query"]]
    assert expressions
    for queries in expressions:
        [result] = [query for query in queries if query["return_data"]]
        ids = {query["id"] for query in queries if query is not result}
        assert set(re.findall(r"\b[a-z]\w*", result["expression"])) == ids


# --- the dashboard ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", RUNS)
def test_widgets_stand_beside_each_other(made: dict[str, Made], run: str) -> None:
    boxes = [(one["x"], one["y"], one["x"] + one["width"], one["y"] + one["height"]) for one in made[run].widgets]
    assert all(0 <= left < right <= 24 and top < bottom for left, top, right, bottom in boxes)
    for one, other in combinations(boxes, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart, f"{one} and {other}"
    area = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
    assert area == 24 * max(bottom for *_, bottom in boxes), "there is a hole"


@pytest.mark.parametrize("run", RUNS)
def test_widgets_are_of_cloudwatchs_forms(made: dict[str, Made], run: str) -> None:
    assert len(made[run].widgets) <= 500
    for widget in made[run].widgets:
        properties = widget["properties"]
        match widget["type"]:
            case "text":
                assert properties["markdown"]
            case "alarm":
                assert 1 <= len(properties["alarms"]) <= 100
            case "log":
                assert properties["query"].startswith("SOURCE '")
            case "metric":
                assert properties["region"] == "eu-central-1"
                assert properties["title"]
                assert list(references(widget))
                _check_expressions(properties["metrics"])
            case other:
                pytest.fail(f"{other} is no type of widget")


def _check_expressions(metrics: list[list[Any]]) -> None:
    options = [metric[-1] if isinstance(metric[-1], dict) else {} for metric in metrics]
    ids = [one["id"] for one in options if "id" in one]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][A-Za-z0-9_]*", one) for one in ids)
    for one in options:
        if "expression" in one:
            groups = re.findall(r'METRICS\("(\w+)"\)', one["expression"])
            assert all(any(group in known for known in ids) for group in groups)
            bare = re.sub(r'METRICS\("\w+"\)', "", one["expression"])
            assert set(re.findall(r"\b[a-z]\w*", bare)) <= set(ids)
    assert any(one.get("visible", True) for one in options)


def test_the_dashboard_names_the_deployment_and_the_runbook(made: dict[str, Made]) -> None:
    [header] = [one for one in made["minimal"].widgets if one["type"] == "text" and one["y"] == 0]
    assert f"ENV={ENV}" in header["properties"]["markdown"]
    assert f"({RUNBOOK_URL})" in header["properties"]["markdown"]


def test_the_dashboard_shows_silence_though_it_is_no_alarm_to_cloudwatch(made: dict[str, Made]) -> None:
    [_, silence] = [one["properties"] for one in made["minimal"].widgets if one["type"] == "alarm"]
    assert silence["states"] == ["ALARM", "INSUFFICIENT_DATA"]
    assert len(silence["alarms"]) == 1


def test_dashboard_shows_the_most_important_widgets_first(made: dict[str, Made]) -> None:
    in_order = sorted(made["everything"].widgets, key=lambda widget: (widget["y"], widget["x"]))
    assert [widget["type"] for widget in in_order[:4]] == ["text", "alarm", "alarm", "metric"]
    numbers = [one for one in in_order if one["properties"].get("view") == "singleValue"]
    assert {one["y"] for one in numbers} == {5}
    stages = [one["properties"]["markdown"] for one in in_order if one["type"] == "text"][1:]
    assert [stage.split()[1] for stage in stages] == ["1", "2", "3", "4", "5"]


# --- the logs -----------------------------------------------------------------------------------------------------

BY_CLOUDWATCH = {
    "@timestamp",
    "@message",
    "@log",
    "@logStream",
    "@type",
    "@duration",
    "@maxMemoryUsed",
    "@initDuration",
}
KEYWORDS = {"fields", "filter", "sort", "limit", "stats", "by", "as", "or", "and", "desc", "like", "ispresent", "bin",
            "count", "count_distinct", "avg", "max", "pct"}  # fmt: skip


def test_saved_queries_ask_for_what_is_logged(made: dict[str, Made]) -> None:
    class Store(Sink):
        def apply(self, changes: Any, history: Any = ()) -> Outcome:
            return Outcome(failed={changes[0].user_id: Refused("in a test")})

        def close(self) -> None:
            pass

    with sync_with(Store()) as function:
        assert function(updated(user("auth0|ada"))) == ["m0"]
        logged = {key for line in function.lines if "message" in line for key in line}
    for name, query in made["everything"].queries.items():
        text = re.sub(r"^#.*$|'[^']*'|/(?:\\.|[^/\n ])[^\n]*/", " ", query, flags=re.M)
        aliases = set(re.findall(r"\bas (\w+)", text))
        words = set(re.findall(r"@?\b[a-zA-Z_]\w*|@\w+", text)) - KEYWORDS - aliases - {"h", "m"}
        fields = {word for word in words if not word.startswith("@")}
        assert fields <= logged, name
        assert {word for word in words if word.startswith("@")} <= BY_CLOUDWATCH, name


def test_the_docs_name_the_saved_queries(made: dict[str, Made]) -> None:
    names = {name.partition("/")[2] for name in made["everything"].queries}
    assert all(f"`{name}`" in METRICS for name in names)
    mentioned = set(re.findall(r"(?:saved|Saved) quer(?:y|ies)[^`]*`([a-z-]+)`", RUNBOOK))
    assert mentioned
    assert mentioned <= names
