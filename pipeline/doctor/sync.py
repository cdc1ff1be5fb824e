"""The sync: a user that cannot exist in Auth0 goes through both queues into both stores, and is deleted again.

Only Auth0 can publish to a partner bus, so the check sends straight to the sinks' queues. The rules have a check of
their own. A tombstone of the user is left.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Final

from pipeline.doctor import synthetic
from pipeline.doctor.deployed import Deployed
from pipeline.doctor.findings import Finding, bad, guarded, ok, unknown
from pipeline.doctor.probes import Invoking, Probe, Reading, wait
from pipeline.invocation import logs_command
from pipeline.stores.aurora import DataApi
from pipeline.stores.dynamodb import DynamoDBStore
from pipeline.stores.postgres import PostgresStore

DOING: Final = f"waiting for {synthetic.USER}"

_STORES: Final = {"postgres": "Postgres", "dynamodb": "DynamoDB"}
_ON: Final = ("Creating", "Enabled", "Enabling", "Updating")
"""States in which an event source mapping reads the queue, or is about to."""

Phase = tuple[str, synthetic.Event, synthetic.Event]
"""What happens to the user, the event that says so, and the event before it."""


def check(deployed: Deployed) -> list[Finding]:
    """Send a creation and a deletion to both queues, and wait for each in the stores."""
    source, now = synthetic.SOURCE, deployed.clock.now()
    older = synthetic.created(source, now - timedelta(seconds=1))
    created = synthetic.created(source, now)
    deleted = synthetic.deleted(source, now + timedelta(milliseconds=1))
    phases = (("creation", created, older), ("deletion", deleted, created))
    probes = {"postgres": _postgres(deployed), "dynamodb": _dynamodb(deployed)}
    with ThreadPoolExecutor(len(probes)) as pool:
        work = [pool.submit(_sink, deployed, sink, probe, phases) for sink, probe in probes.items()]
    return [finding for done in work for finding in done.result()]


def _sink(deployed: Deployed, sink: str, probe: Probe, phases: Iterable[Phase]) -> list[Finding]:
    title = f"Sync to {_STORES[sink]}"
    return guarded(title, partial(_through, deployed, sink, title, probe, phases))


def _through(deployed: Deployed, sink: str, title: str, probe: Probe, phases: Iterable[Phase]) -> list[Finding]:
    """Send each event once the store has the one before."""
    mapping = deployed.client("lambda").get_event_source_mapping(
        UUID=deployed.outputs["event_source_mapping_ids"][sink]
    )
    if mapping["State"] not in _ON:
        return [unknown(title, f"it is paused ({mapping['State']}): events wait in the queue")]
    found: list[Finding] = []
    for what, event, before in phases:
        deployed.client("sqs").send_message(QueueUrl=deployed.outputs["queue_urls"][sink], MessageBody=event.body)
        took = wait(probe, event, before, deployed.seconds, deployed.clock)
        if took is None:
            why = f"not stored {deployed.seconds:.0f} s after it was put into the queue"
            why += f"; {probe.problem}" if probe.problem else ""
            logs = logs_command(f"sync-{sink}", deployed.env)
            return [*found, bad(f"{title}: {what}", why, f"Look: {logs}")]
        found.append(ok(f"{title}: {what}", f"stored after {took:.0f} s ({probe.how})"))
    return found


def _postgres(deployed: Deployed) -> Probe:
    if cluster := deployed.cluster:
        reader = DataApi(deployed.client("rds-data"), cluster, resume=0)  # `wait` asks again
        return Reading(PostgresStore(reader), "SELECT, by the RDS Data API")
    return Invoking(deployed.client("lambda"), deployed.outputs["function_names"]["sync-postgres"])


def _dynamodb(deployed: Deployed) -> Probe:
    store = DynamoDBStore(deployed.client("dynamodb"), deployed.outputs["users_table"])
    return Reading(store, "GetItem")
