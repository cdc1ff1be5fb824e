"""Check the sync: send a user that cannot exist in Auth0 through both queues into both stores, and delete it.

Only Auth0 can publish to a partner bus, so the check sends straight to the sinks' queues. Another check covers the
rules. The stores keep a tombstone of the user.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

from pipeline.delivery.queue import Queue
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
"""Name of a change of the user, its event, and the event before it."""


@dataclass(frozen=True)
class _Sink:
    """A sink, the clients for its queue and function, and the probe of its store."""

    name: str
    probe: Probe
    sqs: Any
    lambda_: Any
    deployed: Deployed

    def check(self, phases: Iterable[Phase]) -> list[Finding]:
        """Send each event once the store has the one before."""
        return guarded(self._title, partial(self._check, phases))

    @property
    def _title(self) -> str:
        return f"Sync to {_STORES[self.name]}"

    def _check(self, phases: Iterable[Phase]) -> list[Finding]:
        outputs, seconds = self.deployed.outputs, self.deployed.seconds
        mapping = self.lambda_.get_event_source_mapping(UUID=outputs["event_source_mapping_ids"][self.name])
        if mapping["State"] not in _ON:
            return [unknown(self._title, f"it is paused ({mapping['State']}): events wait in the queue")]
        found: list[Finding] = []
        for what, event, before in phases:
            title = f"{self._title}: {what}"
            queue = Queue(self.sqs, outputs["queue_urls"][self.name], sleep=self.deployed.clock.sleep)
            if error := queue.send([event.body]).failed.get(0):
                raise error.__cause__ or error  # the response or error of AWS, such as a denied request
            took = wait(self.probe, event, before, seconds, self.deployed.clock)
            if took is None:
                why = f"not stored {seconds:.0f} s after it was put into the queue"
                why += f"; {self.probe.problem}" if self.probe.problem else ""
                logs = logs_command(f"sync-{self.name}", self.deployed.env)
                return [*found, bad(title, why, f"Look: {logs}")]
            found.append(ok(title, f"stored after {took:.0f} s ({self.probe.how})"))
        return found


def check(deployed: Deployed) -> list[Finding]:
    """Send a creation and a deletion to both queues, and wait for each in the stores."""
    source, now = synthetic.SOURCE, deployed.clock.now()
    older = synthetic.created(source, now - timedelta(seconds=1))
    created = synthetic.created(source, now)
    deleted = synthetic.deleted(source, now + timedelta(milliseconds=1))
    phases = (("creation", created, older), ("deletion", deleted, created))
    probes = {"postgres": _postgres(deployed), "dynamodb": _dynamodb(deployed)}
    sqs, lambda_ = deployed.client("sqs"), deployed.client("lambda")
    sinks = [_Sink(name, probe, sqs, lambda_, deployed) for name, probe in probes.items()]
    with ThreadPoolExecutor(len(sinks)) as pool:
        return [finding for found in pool.map(lambda sink: sink.check(phases), sinks) for finding in found]


def _postgres(deployed: Deployed) -> Probe:
    if cluster := deployed.cluster:
        reader = DataApi(deployed.client("rds-data"), cluster, resume=0)  # `wait` probes again
        return Reading(PostgresStore(reader), "SELECT, by the RDS Data API")
    return Invoking(deployed.client("lambda"), deployed.outputs["function_names"]["sync-postgres"])


def _dynamodb(deployed: Deployed) -> Probe:
    store = DynamoDBStore(deployed.client("dynamodb"), deployed.outputs["users_table"])
    return Reading(store, "GetItem")
