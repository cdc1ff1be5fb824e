"""Whether a deployment works, tried out without touching a user of Auth0's.

Nobody but Auth0 can put an event on a partner bus. So an event is put where the bus would: into the queues of both
sinks, and waited for in the stores. That the bus would put it there is seen from the rules: their patterns, tried with
the same event, and their targets. Nothing is put into the archive, which is for audits: whether it gets what its rules
match is seen from CloudWatch's counts.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pipeline import data_api
from pipeline.archive import athena
from pipeline.deploy import DeployError, stores, synthetic
from pipeline.errors import SyncError
from pipeline.progress import Progress, Step
from pipeline.settings import Cluster

Verdict = Literal["ok", "bad", "unknown"]
Outputs = Mapping[str, Any]

SECONDS: Final = 180.0
"""How long a store may take: a cluster that has paused itself resumes in half a minute."""

COUNTED: Final = timedelta(hours=1)
"""The time for which the archive's events are counted: after a repair the test must pass soon."""

LATE: Final = timedelta(minutes=5)
"""How late EventBridge may deliver, and CloudWatch count."""

COMPLETE: Final = 0.9
"""Part of the matched events that must reach the delivery stream: CloudWatch promises no complete counts."""

BLIND: Final = (
    "Not seen by this test: whether Auth0 delivers. Change a user in Auth0's dashboard, then: auth0-sync user 'USER ID'"
)

_DENIED: Final = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized")


@dataclass(frozen=True)
class Check:
    """One line of the list: what was looked at, how it is, and why."""

    title: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True)
class Deployed:
    """What is tried out: Terraform's outputs, and clients of the account."""

    outputs: Outputs
    new_client: Callable[[str, str], Any]
    """Makes a client of a service in a region."""

    @classmethod
    def of(cls, outputs: Outputs) -> "Deployed":
        """Use the credentials in the environment."""
        config = Config(connect_timeout=10, read_timeout=120)

        def new_client(service: str, region: str) -> Any:
            return boto3.client(service, region_name=region, config=config)  # type: ignore[call-overload]

        return cls(outputs, new_client)

    def client(self, service: str) -> Any:
        """A client in the region of the data."""
        return self.new_client(service, self.outputs["region"])

    def source_client(self, service: str) -> Any:
        """A client in the region of Auth0's event sources, which may be another."""
        return self.new_client(service, self.outputs["source_region"])

    @property
    def sources(self) -> Mapping[str, str]:
        """The partner event sources by stream."""
        found: Mapping[str, str] = self.outputs["event_sources"]
        return found

    @property
    def forwards(self) -> bool:
        """Whether events are forwarded from another region."""
        return bool(self.outputs["region"] != self.outputs["source_region"])

    @property
    def cluster(self) -> Cluster | None:
        """The Aurora cluster of the deployment, if it has one."""
        found = self.outputs.get("database")
        return Cluster(found["cluster_arn"], found["master_secret_arn"], found["name"]) if found else None


Checks = Iterator[Check]


def run(deployed: Deployed, progress: Progress, seconds: float = SECONDS) -> list[Check]:
    """Try everything out; `seconds` is how long a store may take to have an event."""
    checks: list[Check] = []
    parts: tuple[tuple[str, Callable[[Step], Checks]], ...] = (
        ("Auth0", lambda _step: _sources(deployed)),
        ("Rules", lambda _step: _rules(deployed)),
        ("Functions", lambda _step: _functions(deployed)),
        ("Sync", lambda step: _sync(deployed, step, seconds)),
        *([("Database", lambda _step: _database(deployed, seconds))] if deployed.cluster else []),
        ("Archive", lambda _step: _archive(deployed)),
        ("Dead-letter queues", lambda _step: _dead_letters(deployed)),
        ("Alarms", lambda _step: _alarms(deployed)),
    )
    for title, part in parts:
        with suppress(_NotGood), progress.step(title) as step:
            found = list(_guarded(title, part(step)))
            checks += found
            bad = sum(check.verdict == "bad" for check in found)
            step.update(f"{bad} not as it should be" if bad else "")
            if bad:
                raise _NotGood
    return checks


class _NotGood(Exception):
    """Something in a part is not as it should be."""


def _guarded(title: str, checks: Checks) -> Checks:
    """The checks, and one more if they are cut short by what AWS answers."""
    try:
        yield from checks
    except (BotoCoreError, ClientError) as error:
        code = error.response["Error"].get("Code", "") if isinstance(error, ClientError) else ""
        yield Check(title, "unknown" if code in _DENIED else "bad", str(error))
    except (SyncError, DeployError) as error:
        yield Check(title, "bad", str(error))


def _sources(deployed: Deployed) -> Checks:
    events = deployed.source_client("events")
    for stream, name in deployed.sources.items():
        state = events.describe_event_source(Name=name)["State"]
        why = {
            "ACTIVE": "",
            "PENDING": "it has no bus, and Auth0's events are dropped: deploy again",
            "DELETED": "Auth0 has deleted it: make the stream again, and use the new source's name",
        }
        verdict: Verdict = "ok" if state == "ACTIVE" else "bad"
        detail = f"{name} is {state}" + (f"; {why.get(state, '')}" if verdict == "bad" else "")
        yield Check(f"Event source of the {_words(stream)}", verdict, detail)
    yield from _arrived(deployed)


def _arrived(deployed: Deployed) -> Checks:
    """Events that the archive's rule matched lately: of all that Auth0 delivers."""
    now = datetime.now(UTC)
    for stream, dimensions in _archive_rules(deployed).items():
        count = _count(deployed, "AWS/Events", "MatchedEvents", dimensions, now - timedelta(days=1), now)
        title = f"Events of the {_words(stream)}"
        if count:
            yield Check(title, "ok", f"{count:,.0f} in the last 24 hours")
        else:
            yield Check(title, "unknown", "none seen in the last 24 hours; metrics are minutes late")


def _archive_rules(deployed: Deployed) -> dict[str, dict[str, str]]:
    """The dimensions of the archive's rules in CloudWatch, by stream."""
    rules, buses = deployed.outputs["rule_names"]["archive"], deployed.outputs["bus_names"]
    return {stream: {"EventBusName": buses[stream], "RuleName": rule} for stream, rule in rules.items()}


def _count(
    deployed: Deployed, namespace: str, metric: str, dimensions: Mapping[str, str], start: datetime, end: datetime
) -> int:
    """Return the sum of a metric; 0 without data."""
    answer = deployed.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=start,
        EndTime=end,
        Period=60 if end - start <= COUNTED else 3600,
        Statistics=["Sum"],
    )
    return int(sum(point["Sum"] for point in answer["Datapoints"]))


def _rules(deployed: Deployed) -> Checks:
    events = deployed.client("events")
    rules, buses = deployed.outputs["rule_names"], deployed.outputs["bus_names"]
    queues = {name: _last(url) for name, url in deployed.outputs["queue_urls"].items()}
    sinks = {queues[name] for name in ("postgres", "dynamodb")}
    refresh = {queues["refresh"]} if "refresh" in queues else set()
    wanted = {
        "user-changes": ("both sinks", sinks),
        "user-signals": ("the refresh", refresh),
        "archive": ("the archive", {deployed.outputs["firehose_name"]}),
    }
    for subject, (whom, targets) in wanted.items():
        for stream, name in rules[subject].items():
            bus = buses[stream]
            rule = events.describe_rule(Name=name, EventBusName=bus)
            found = events.list_targets_by_rule(Rule=name, EventBusName=bus)["Targets"]
            missing = targets | (refresh if (subject, stream) == ("user-changes", "log-stream") else set())
            missing -= {_last(target["Arn"]) for target in found}
            problems = [] if rule["State"].startswith("ENABLED") else [f"it is {rule['State']}"]
            problems += [f"{target} is not its target" for target in sorted(missing)]
            problems += _pattern_problems(events, rule["EventPattern"], subject, stream, deployed.sources[stream])
            title = f"Rule {subject}, {_words(stream)}"
            yield Check(title, "bad" if problems else "ok", "; ".join(problems) or (f"to {whom}" if targets else ""))


def _pattern_problems(events: Any, pattern: str, subject: str, stream: str, source: str) -> list[str]:
    """What the rule's pattern takes of two samples, where there are samples, and should not, or should and does not."""
    now = datetime.now(UTC)
    samples = (
        {"a user's creation": synthetic.created(source, now).body, "a login": synthetic.login(source, now)}
        if stream == "log-stream"
        else {}
    )
    expected = {"user-changes": {"a user's creation"}, "user-signals": set(), "archive": {*samples}}[subject]
    problems = []
    for sample, event in samples.items():
        matches = events.test_event_pattern(EventPattern=pattern, Event=event)["Result"]
        if matches != (sample in expected):
            problems.append(f"it {'takes' if matches else 'does not take'} {sample}")
    return problems


def _functions(deployed: Deployed) -> Checks:
    lambda_ = deployed.client("lambda")
    for name, function in deployed.outputs["function_names"].items():
        found = lambda_.get_function_configuration(FunctionName=function)
        state, updated = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
        # A function that was not called for weeks is Inactive, and becomes Active when it is called.
        good = state in ("Active", "Inactive") and updated == "Successful"
        reason = found.get("StateReason") or found.get("LastUpdateStatusReason") or ""
        yield Check(f"Function {name}", "ok" if good else "bad", "" if good else f"{state}, {updated}: {reason}")


def _sync(deployed: Deployed, step: Step, seconds: float) -> Checks:
    """Create the test's user by way of each queue, see it in the store, delete it, see that."""
    source = synthetic.SOURCE
    now = datetime.now(UTC)
    older, new, gone = (
        synthetic.created(source, now - timedelta(seconds=1)),
        synthetic.created(source, now),
        synthetic.deleted(source, now + timedelta(milliseconds=1)),
    )
    sqs, lambda_ = deployed.client("sqs"), deployed.client("lambda")

    def through(sink: str, store: stores.Store) -> Checks:
        queue = deployed.outputs["queue_urls"][sink]
        mapping = lambda_.get_event_source_mapping(UUID=deployed.outputs["event_source_mapping_ids"][sink])
        title = f"Sync to {_STORES[sink]}"
        if mapping["State"] not in ("Creating", "Enabled", "Enabling", "Updating"):
            yield Check(title, "unknown", f"it is paused ({mapping['State']}): events wait in the queue")
            return
        for what, event, before in (("creation", new, older), ("deletion", gone, new)):
            sqs.send_message(QueueUrl=queue, MessageBody=event.body)
            took = stores.wait(store, event, before, seconds)
            if took is None:
                function = deployed.outputs["function_names"][f"sync-{sink}"]
                yield Check(
                    f"{title}: {what}",
                    "bad",
                    f"not stored {seconds:.0f} s after it was put into the queue"
                    + (f"; {store.problem}" if store.problem else "")
                    + f". Look: aws logs tail /aws/lambda/{function} --since 15m",
                )
                return
            yield Check(f"{title}: {what}", "ok", f"stored after {took:.0f} s ({store.how})")

    into = {"postgres": _postgres(deployed), "dynamodb": stores.Table(deployed.client("dynamodb"), _table(deployed))}
    step.update(f"waiting for {synthetic.USER}")
    with ThreadPoolExecutor(len(into)) as pool:
        done = {
            sink: pool.submit(list, _guarded(f"Sync to {_STORES[sink]}", through(sink, store)))
            for sink, store in into.items()
        }
    for found in done.values():
        yield from found.result()


_STORES: Final = {"postgres": "Postgres", "dynamodb": "DynamoDB"}


def _table(deployed: Deployed) -> str:
    return str(deployed.outputs["users_table"])


def _postgres(deployed: Deployed) -> stores.Store:
    if cluster := deployed.cluster:
        return stores.Aurora(deployed.client("rds-data"), cluster)
    return stores.BySync(deployed.client("lambda"), deployed.outputs["function_names"]["sync-postgres"])


def _database(deployed: Deployed, seconds: float) -> Checks:
    """Check that the cluster refuses connections without TLS: the engine's default from version 17 on."""
    if (cluster := deployed.cluster) is None:
        return
    rds_data = deployed.client("rds-data")

    def force_ssl() -> Any:
        with data_api.Transaction(rds_data, cluster) as transaction:
            return transaction.execute("SELECT current_setting('rds.force_ssl', true)").rows[0][0]

    value = data_api.patiently(force_ssl, time.monotonic() + seconds)
    good = value in ("1", "on")
    detail = f"rds.force_ssl is {value}: set it to 1 in the cluster's parameter group"
    yield Check("Connections without TLS are refused", "ok" if good else "bad", "" if good else detail)


def _archive(deployed: Deployed) -> Checks:
    outputs = deployed.outputs
    name = outputs["firehose_name"]
    stream = deployed.client("firehose").describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]
    status = stream["DeliveryStreamStatus"]
    yield Check("Delivery stream", "ok" if status == "ACTIVE" else "bad", f"{name} is {status}")
    yield _counted(deployed, name)

    def ask(sql: str) -> athena.Result:
        return athena.query(
            deployed.client("athena"), sql, database=outputs["glue_database"], workgroup=outputs["athena_workgroup"]
        )

    today = datetime.now(UTC).date()
    days = f"dt IN ('{today}', '{today - timedelta(days=1)}')"
    # No row is asked for, so that nothing is read: Athena checks the view's SQL and the tables' columns.
    for view in outputs["glue_views"]:
        ask(f"SELECT * FROM {view} WHERE {days} LIMIT 0")  # noqa: S608 - our own names
    yield Check("Athena's views", "ok", f"{', '.join(outputs['glue_views'])} can be queried")
    found = ask(
        f"SELECT line, json_extract(line, '$.detail') AS parsed FROM lines WHERE {days} LIMIT 1"  # noqa: S608
    ).dicts()
    title = "Archived logs"
    if not found:
        yield Check(title, "unknown", "no data of today or yesterday yet; it comes minutes after Auth0's events")
    elif found[0]["parsed"] is None:
        yield Check(title, "bad", "Athena gives a line that is not an event: docs/runbook.md#archive-errors")
    else:
        yield Check(title, "ok", "Athena reads them, each line a JSON document")


def _counted(deployed: Deployed, firehose: str) -> Check:
    """Compare what the archive's rules matched with what the delivery stream took.

    The stream may have taken more: events that were sent again, and those that are too young to be counted as matched.
    """
    now = datetime.now(UTC)
    start, end = now - COUNTED, now - LATE

    def of_rules(metric: str) -> int:
        rules = _archive_rules(deployed).values()
        return sum(_count(deployed, "AWS/Events", metric, dimensions, start, end) for dimensions in rules)

    matched, failed = of_rules("MatchedEvents"), of_rules("FailedInvocations")
    taken = _count(deployed, "AWS/Firehose", "IncomingRecords", {"DeliveryStreamName": firehose}, start, now)
    title = "Events to the archive"
    counts = f"of {matched:,} events that its rules matched in the last hour, {firehose} took {taken:,}"
    if failed or taken < COMPLETE * matched:
        counts += f" and EventBridge gave up {failed:,}" if failed else ""
        return Check(title, "bad", f"{counts}. docs/runbook.md says what to do: undelivered-events")
    if not matched:
        return Check(title, "unknown", "none counted in the last hour; metrics are minutes late")
    return Check(title, "ok", counts)


def _dead_letters(deployed: Deployed) -> Checks:
    sqs = deployed.client("sqs")
    outputs = deployed.outputs
    queues = {f"failed: {name}": (sqs, url) for name, url in outputs["dlq_urls"].items()}
    queues |= {f"undelivered: {name}": (sqs, url) for name, url in outputs["target_dlq_urls"].items()}
    there = deployed.source_client("sqs")
    queues |= {f"not forwarded: {name}": (there, url) for name, url in outputs["relay_dlq_urls"].items()}
    attribute = "ApproximateNumberOfMessages"
    full = []
    for name, (client, url) in queues.items():
        held = int(client.get_queue_attributes(QueueUrl=url, AttributeNames=[attribute])["Attributes"][attribute])
        if held:
            full.append(f"{name} holds {held}")
    if full:
        detail = "; ".join(full) + ". docs/runbook.md says how to look and what to do"
        yield Check("Dead-letter queues", "bad", detail)
    else:
        yield Check("Dead-letter queues", "ok", f"all {len(queues)} are empty")


def _alarms(deployed: Deployed) -> Checks:
    names = sorted(deployed.outputs["alarm_names"].values())
    if not names:
        yield Check("Alarms", "unknown", "there are none (alarms.enabled)")
        return
    found: dict[str, str] = {}
    for cloudwatch in (deployed.client("cloudwatch"), *([deployed.source_client("cloudwatch")] * deployed.forwards)):
        for start in range(0, len(names), 100):
            answer = cloudwatch.describe_alarms(AlarmNames=names[start : start + 100], MaxRecords=100)
            found |= {alarm["AlarmName"]: alarm["StateValue"] for alarm in answer["MetricAlarms"]}
    problems = [f"{name} is missing" for name in names if name not in found]
    problems += [f"{name} is in ALARM" for name, state in found.items() if state == "ALARM"]
    waiting = sum(state == "INSUFFICIENT_DATA" for state in found.values())
    detail = f"{len(names)} there, none in ALARM" + (f"; {waiting} have no data yet" if waiting else "")
    yield Check("Alarms", "bad" if problems else "ok", "; ".join(problems) or detail)


def _last(name: str) -> str:
    """The resource's own name at the end of a queue's URL or an ARN."""
    return name.rpartition("/")[2].rpartition(":")[2]


def _words(stream: str) -> str:
    return {"log-stream": "Log Stream", "event-stream": "Event Stream"}.get(stream, stream)


class Quiet:
    """A Progress that shows nothing, and its Step."""

    def step(self, title: str) -> Any:  # noqa: ARG002 - the protocol's
        """Return a step that shows nothing."""
        return nullcontext(self)

    def update(self, text: str) -> None:
        """Show nothing."""
