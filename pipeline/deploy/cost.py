"""Estimate the monthly cost of a deployment: list prices of us-east-1, and the usage of a tenant of some size.

docs/cost.md has the resulting tables, the assumptions and the sources of the prices; a test compares them.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

HOURS: Final = 730.0
DAYS: Final = 30.4
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

# Dollars. Events, requests and units by the million.
EVENTS: Final = 1.00  # EventBridge, from partners
FIREHOSE_GB: Final = 0.029
S3_GB, S3_GLACIER_IR_GB, S3_PUTS, S3_GETS, S3_TRANSITIONS = 0.023, 0.004, 5.00, 0.40, 20.00
SQS: Final = 0.40
LAMBDA_REQUESTS, LAMBDA_GB_SECOND = 0.20, 0.0000133334  # arm64
DYNAMODB_WRITES, DYNAMODB_READS, DYNAMODB_GB, DYNAMODB_BACKUP_GB = 0.625, 0.125, 0.25, 0.20
ACU_HOUR, AURORA_GB, AURORA_IO, AURORA_BACKUP_GB = 0.12, 0.10, 0.20, 0.021
ALARM, METRIC, DASHBOARD, LOG_GB = 0.10, 0.30, 3.00, 0.50
KEY, KEY_REQUESTS, SECRET = 1.00, 3.00, 0.40

SYNC_METRICS: Final = 20
"""Metrics that the functions of both sinks make, ten each (docs/metrics.md)."""
LOGGED_BYTES: Final = 1400
"""Bytes of log per invocation of the sync: the line of the batch with its metrics, and three lines from Lambda."""
FLOW_LOGGED_BYTES: Final = 4 * 125
"""Bytes of flow logs per connection and minute: a record for each direction, at both ends."""
POSTGRES_LOGGED_BYTES: Final = 5 * MIB
"""Bytes of Postgres' log per day: slow statements, and its own maintenance."""
SMALLEST_MOVED: Final = 128 * KIB
"""Objects below this size stay in S3 Standard, despite lifecycle rules."""
MANIFEST_BYTES: Final = 50 * MIB
"""Bytes of objects that the manifest function reads in a second, with 512 MB of memory."""
POLLERS = 5
"""Pollers that Lambda starts with, each of which fills a batch."""


@dataclass(frozen=True)
class Tenant:
    """A tenant and its settings. Bytes are before compression; `months` is the age of the archive."""

    users: int
    logs_a_day: int
    changes: float = 0.05
    """Share of the logs that carry a change of a user."""
    log_bytes: int = 2560
    compression: float = 8
    user_bytes: int = 2560
    row_bytes: int = 1843
    """Bytes of a user in Postgres, with indices, after some updates."""
    months: int = 12
    readers: int = 0
    window_seconds: int = 1
    """Seconds of the batching window."""
    alarms: int = 45
    customer_key: bool = True
    event_stream: bool = False
    manifest: bool = True
    glacier_after_months: int | None = None
    buffer_seconds: int = 300
    filtered: float = 0.0
    """Share of the logs that the stream's filter in Auth0 drops; none of them is a change."""
    acus: float | None = None
    """ACUs; None for enough memory for a fifth of the table, in steps of half an ACU."""

    @property
    def events(self) -> float:
        """Return the logs per month that reach AWS."""
        return self.logs_a_day * DAYS * (1 - self.filtered)

    @property
    def log_changes(self) -> float:
        """Return the logs per month that are changes of users."""
        return self.logs_a_day * DAYS * self.changes

    @property
    def user_events(self) -> float:
        """Return the messages per month to each sink: with an Event Stream each change arrives twice."""
        return self.log_changes * (2 if self.event_stream else 1)

    @property
    def batch(self) -> float:
        """Return the messages per batch of a function."""
        return max(1.0, min(100.0, self.user_events / (DAYS * 86400) * self.window_seconds / POLLERS))

    @property
    def capacity(self) -> float:
        """Return the average ACUs of the writer, 2 GiB each."""
        if self.acus is not None:
            return self.acus
        return max(0.5, round(self.users * self.row_bytes * 0.2 / (2 * GIB) * 2) / 2)


@dataclass(frozen=True)
class Line:
    """A line of the bill: dollars per month, and their purpose."""

    service: str
    dollars: float
    what: str


def bill(tenant: Tenant) -> list[Line]:
    """Return the costs of the deployment by service."""
    return list(_bill(tenant))


def total(tenant: Tenant) -> float:
    """Return the sum of the bill, in dollars a month."""
    return sum(line.dollars for line in bill(tenant))


def _bill(tenant: Tenant) -> Iterator[Line]:
    million = 1_000_000
    events = tenant.events + (tenant.log_changes if tenant.event_stream else 0)
    yield Line("EventBridge", events / million * EVENTS, "each event of Auth0's, of up to 64 KB")

    # Each record counts as 5 KB at least.
    billed = max(tenant.log_bytes, 5 * KIB)
    yield Line("Firehose", events * billed / GIB * FIREHOSE_GB, "each event, as 5 KB")

    month = events * tenant.log_bytes / tenant.compression / GIB
    objects = max(DAYS * 86400 / tenant.buffer_seconds, events * tenant.log_bytes / (64 * MIB))
    moves = tenant.glacier_after_months is not None and month * GIB / objects >= SMALLEST_MOVED
    cold = max(0, tenant.months - (tenant.glacier_after_months or 0)) if moves else 0
    kept = month * ((tenant.months - cold) * S3_GB + cold * S3_GLACIER_IR_GB)
    written = objects / million * (S3_PUTS + (S3_TRANSITIONS if cold else 0))
    yield Line("S3", kept + written, f"{month * tenant.months:,.0f} GiB of archive, and writing it")

    # Each object is read once; the function also starts every hour, and lists four days.
    if tenant.manifest:
        reading = month * GIB / MANIFEST_BYTES + HOURS
        requests = (objects * S3_GETS + HOURS * 10 * S3_PUTS) / million
        manifests = KEY + METRIC + reading * LAMBDA_GB_SECOND / 2 + requests
        yield Line("Manifests", manifests, "a key that signs, a metric, and reading each object once")

    # Each sink's message takes a send, a receive and a delete, the latter two in tens at best; five pollers send a
    # request every 20 seconds. The free first million requests of an account cover a part of them.
    messages = 2 * tenant.user_events
    requests = messages * (1 + 2 / min(10, tenant.batch)) + 2 * POLLERS * HOURS * 3600 / 20
    yield Line("SQS", max(0.0, requests - million) / million * SQS, "a queue for each store, 1 million requests free")

    invocations = messages / tenant.batch
    seconds = invocations * (0.05 + 0.001 * tenant.batch)
    requests_cost = invocations / million * LAMBDA_REQUESTS
    yield Line("Lambda", requests_cost + seconds * LAMBDA_GB_SECOND, "1 GB of memory, on arm64")

    # An item of up to 3 KB is 3 write units, and a write that finds a newer item costs the same.
    size = tenant.users * tenant.user_bytes / GIB
    units = tenant.user_events * -(-tenant.user_bytes // KIB)
    yield Line("DynamoDB, writes", units / million * DYNAMODB_WRITES, "3 units for a change")
    yield Line("DynamoDB, storage", size * (DYNAMODB_GB + DYNAMODB_BACKUP_GB), f"{size:,.1f} GiB, and its backup")

    instances = 1 + tenant.readers  # a reader that can take over is as large as the writer
    acus = tenant.capacity * instances
    yield Line("Aurora, capacity", acus * HOURS * ACU_HOUR, f"{acus:g} ACUs on average")
    rows = tenant.users * tenant.row_bytes / GIB
    stored = rows * (AURORA_GB + AURORA_BACKUP_GB) + tenant.user_events * 3.5 / million * AURORA_IO
    yield Line("Aurora, storage", stored, f"{rows:,.1f} GiB, its backup, 3.5 I/O for a change")

    connections = POLLERS * 60 * 24 * DAYS * FLOW_LOGGED_BYTES
    logs = (invocations * LOGGED_BYTES + connections + DAYS * POSTGRES_LOGGED_BYTES) / GIB * LOG_GB
    watched = tenant.alarms * ALARM + SYNC_METRICS * METRIC + DASHBOARD
    yield Line("CloudWatch", watched + logs, f"{tenant.alarms} alarms, {SYNC_METRICS} metrics, a dashboard, logs")

    # Each user of the key requests a data key every five minutes: sender and receiver of two queues and the archive's,
    # Firehose, DynamoDB. Each object of the archive and each start of a function adds requests.
    uses = HOURS * 12 * 8 + objects
    key = KEY + uses / million * KEY_REQUESTS if tenant.customer_key else 0.0
    yield Line("KMS and Secrets Manager", key + 2 * SECRET, "one key, the database's two secrets")


def backfill(users: int, size: int, slices: int, stores: Collection[str]) -> float:
    """Return the dollars of loading an export of ``size`` bytes once into ``stores``; the free tiers do not count.

    A user is read before it is written, as an export may lack keys. Assumes a millisecond a user for both functions,
    with 1 GB in all; a slice is written once, and read and answered for each store.
    """
    million = 1_000_000
    seconds = users * len(stores) / 1000
    dollars = seconds * LAMBDA_GB_SECOND + 2 * slices * len(stores) / million * LAMBDA_REQUESTS
    dollars += slices / million * (S3_PUTS * (1 + len(stores)) + S3_GETS * 2 * len(stores) + 3 * SQS * len(stores))
    if "postgres" in stores:
        dollars += users * 3.5 / million * AURORA_IO
    if "dynamodb" in stores and users:
        # An item has the place in the order and the versions of its keys beside the user.
        units = -(-(size // users + KIB // 2) // KIB)
        dollars += users / million * (units * DYNAMODB_WRITES + DYNAMODB_READS)
    return dollars


SMALL: Final = Tenant(users=10_000, logs_a_day=100_000)
LARGE: Final = Tenant(users=10_000_000, logs_a_day=50_000_000)


def levers() -> list[tuple[str, float, float | None]]:
    """Return the cost of each choice for SMALL and LARGE, in dollars per month; None if it does not apply."""
    choices: tuple[tuple[str, dict[str, Any]], ...] = (
        ("a reader that takes over: `aurora.readers = 1`", {"readers": 1}),
        ("the Event Stream beside the Log Stream", {"event_stream": True}),
        ("keys of AWS: `encryption.customer_managed = false`", {"customer_key": False}),
        ("no manifests: `archive.manifest = false`", {"manifest": False}),
        ("no alarms: `alarms.enabled = false`", {"alarms": 0}),
        ("older logs in Glacier: `archive.glacier_ir_after_days = 90`", {"glacier_after_months": 3}),
        ("… with `archive.buffering_seconds = 900`", {"glacier_after_months": 3, "buffer_seconds": 900}),
        ("half of the logs filtered out in Auth0, changes kept", {"filtered": 0.5}),
        ("batches that wait five times as long: `sync.batch_window_seconds = 5`", {"window_seconds": 5}),
    )
    # A large tenant is never idle.
    pause = ("Aurora paused 16 hours a day: `aurora.min_capacity = 0`", _added(SMALL, acus=SMALL.capacity / 3), None)
    return [*((what, _added(SMALL, **choice), _added(LARGE, **choice)) for what, choice in choices), pause]


def a_million_logs(tenant: Tenant) -> float:
    """Return the cost of a million further logs that change no user, archived for as long as the tenant's others."""
    logs = tenant.logs_a_day + round(1_000_000 / DAYS)
    more = replace(tenant, logs_a_day=logs, changes=tenant.changes * tenant.logs_a_day / logs)
    return total(more) - total(tenant)


def a_million_changes(tenant: Tenant) -> float:
    """Return the cost of a million of the tenant's changes, on top of the logs that carry them."""
    given = replace(tenant, acus=tenant.capacity)
    of_all = total(given) - total(replace(given, changes=0))
    return of_all / (tenant.user_events / 1_000_000)


def markdown() -> str:
    """Return the tables of docs/cost.md."""
    lines = ["| $ a month | 10 thousand users | 10 million users | for |", "|---|--:|--:|---|"]
    for small, large in zip(bill(SMALL), bill(LARGE), strict=True):
        what = small.what if small.what == large.what else f"{small.what}; {large.what}"
        lines.append(f"| {small.service} | {small.dollars:,.2f} | {large.dollars:,.2f} | {what} |")
    lines.append(f"| **together** | **{total(SMALL):,.0f}** | **{total(LARGE):,.0f}** | |")
    lines += ["", "| choice, and what it adds | 10 thousand users | 10 million users |", "|---|--:|--:|"]
    for choice, added_small, added_large in levers():
        lines.append(f"| {choice} | {added_small:+,.2f} | {'' if added_large is None else f'{added_large:+,.2f}'} |")
    return "\n".join(lines)


def _added(tenant: Tenant, **choice: Any) -> float:
    return total(replace(tenant, **choice)) - total(tenant)
