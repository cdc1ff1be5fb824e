"""Demonstrate the sync on the embedded stack: put traffic on the bus, and compare each store with the truth."""

import gzip
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from typing import Any, Final
from urllib.parse import quote

import psycopg

from devstack import StackError, bus
from devstack.logs import log_events
from devstack.stack import Stack
from devstack.traffic import Event, ExpectedState, Traffic, differences
from pipeline.archive import questions
from pipeline.batch import Counts
from pipeline.query import Result
from pipeline.settings import Database
from pipeline.stores import Store, User
from pipeline.stores.dynamodb import DynamoDBStore
from pipeline.stores.postgres import PostgresStore
from pipeline.stores.server import Server

Json = dict[str, Any]

SINKS: Final = ("postgres", "dynamodb")
FIRST_SEED: Final = 7

METADATA_SQL: Final = """\
SELECT user_metadata->>'plan' AS plan, count(*) AS users, max(updated_at) AS last_change
FROM auth0.live_users
WHERE user_metadata ? 'plan'
GROUP BY 1
ORDER BY users DESC, plan"""


@dataclass
class Run:
    """One run of the demo: its events, and the times at which they were put."""

    stack: Stack
    seed: int
    malformed: int
    expected: ExpectedState
    started: datetime
    versions_before: dict[str, dict[str, str]]
    """Versions of the users in each store before this run."""
    bad_before: dict[str, int]
    """Messages in each dead-letter queue, by its name, before this run."""
    put_at: dict[str, datetime] = field(default_factory=dict)
    """log_id to the time of its first put."""
    details: dict[str, Json] = field(default_factory=dict)
    """EventBridge's id of an event to its ``detail``."""
    changes: Counter[str] = field(default_factory=Counter)
    """user_id to number of changes."""
    objects: dict[str, list[Json]] = field(default_factory=dict)
    """Key of an archive object to the events of this run in it: objects never change."""


@dataclass(frozen=True)
class Lag:
    """Milliseconds from put to stored, of the newest change of each user."""

    p50: float
    p99: float


@dataclass(frozen=True)
class BadMessage:
    """A message in a dead-letter queue, with the reason in the log of the function that could not store it."""

    sink: str
    message_id: str
    body: str
    reason: str


@dataclass(frozen=True)
class Report:
    """The results of a run; ``differences`` between the stores and the truth must be empty."""

    put: int
    archived: int
    counts: dict[str, Counter[str]]
    lags: dict[str, Lag]
    bad_messages: list[BadMessage]
    metadata: Result
    user_id: str
    item: dict[str, Any]
    answer: Result
    differences: list[str]


def put(stack: Stack, events: int, users: int, malformed: int, seed: int | None, update: Callable[[str], None]) -> Run:
    """Put traffic on the bus as Auth0 does. Without a seed, choose one with users that are new to the stack."""
    with _stores(stack) as stores:
        versions_before = {sink: dict(store.versions()) for sink, store in stores.items()}
    if seed is None:
        seed = FIRST_SEED + len(versions_before["postgres"])
    now = datetime.now(UTC)
    traffic = Traffic(events=events, users=users, seed=seed, start=now - timedelta(hours=2), malformed=malformed)
    sqs = stack.client("sqs")
    bad_before = {name: _waiting(sqs, url) for name, url in _dead_letter_queues(stack).items()}
    client = stack.client("events")
    run = Run(stack, seed, malformed, traffic.expected, now - timedelta(seconds=1), versions_before, bad_before)
    for batch in bus.batches(traffic):
        _put_batch(client, run, batch)
        update(f"{len(run.details)} of {events}")
    run.expected = traffic.expected  # each iteration makes a new one, which is complete only now
    return run


def _put_batch(client: Any, run: Run, batch: list[Event]) -> None:
    now = datetime.now(UTC)
    for event_id, event in bus.put(client, run.stack.log_stream_source, batch).items():
        run.details[event_id] = event.detail
        run.put_at.setdefault(event.log_id, now)
        if event.change is not None:
            run.changes[event.change.user_id] += 1


def settle(run: Run, update: Callable[[str], None], seconds: float = 240) -> None:
    """Wait until queues are empty, bad messages are in dead-letter queues and the archive has every event."""
    sqs = run.stack.client("sqs")
    deadline = time.monotonic() + seconds
    while True:
        waiting = {sink: _waiting(sqs, run.stack.outputs["queue_urls"][sink]) for sink in SINKS}
        bad = {name: _waiting(sqs, url) - run.bad_before[name] for name, url in _dead_letter_queues(run.stack).items()}
        _check_dead_letters(run, bad)
        archived = len(_archived(run))
        shown = ", ".join(f"{sink} {waiting[sink]}" for sink in SINKS)
        update(f"waiting: {shown}; failed: {sum(bad.values())}; archived: {archived} of {len(run.details)}")
        quiet = not any(waiting.values()) and all(bad[f"{sink}-failed"] >= run.malformed for sink in SINKS)
        if quiet and archived >= len(run.details):
            return
        if time.monotonic() > deadline:
            raise StackError(
                f"After {seconds:.0f} s the stack is still not quiet. Waiting in the queues: {shown}; "
                f"archived: {archived} of {len(run.details)}. The functions' logs say why: auth0-sync logs"
            )
        time.sleep(1)  # each look takes the emulator's CPU


def _check_dead_letters(run: Run, bad: dict[str, int]) -> None:
    """Raise StackError if a dead-letter queue has more than the messages that nobody can read."""
    for name, count in bad.items():
        target, _, kind = name.rpartition("-")
        wrong = count - (run.malformed if kind == "failed" else 0)
        if wrong > 0:
            raise StackError(
                f"{wrong} messages that can be stored have fallen into the dead-letter queue {name}, so "
                f"{target} lacks them. To see why, and to put them back when the cause is gone:\n"
                '  eval "$(.venv/bin/auth0-sync env)"\n'
                f"  .venv/bin/auth0-sync failed {target}\n"
                f"  .venv/bin/auth0-sync failed {target} --put-back\n"
                "The stack is still up; to stop it: make down"
            )


def report(run: Run) -> Report:
    """Read every store, and compare it with the truth."""
    with _stores(run.stack) as stores:
        rows, items = (_changed(run, sink, stores[sink]) for sink in SINKS)
    archived = _archived(run)
    shown = max(run.expected.live, key=lambda user_id: (run.changes[user_id], user_id))
    outputs = run.stack.outputs
    logs = {sink: _log(run, sink) for sink in SINKS}
    with psycopg.connect(run.stack.url_of("auth0_reader")) as connection:
        cursor = connection.execute(METADATA_SQL)
        metadata = Result(tuple(column.name for column in cursor.description or ()), cursor.fetchall())
    answer = who_changed(run, shown)
    return Report(
        put=len(run.details),
        archived=len(archived),
        counts={sink: _counts(logs[sink]) for sink in SINKS},
        lags={
            "postgres": _lag(run, [(row["event_id"], row["synced_at"]) for row in rows.values()]),
            "dynamodb": _lag(
                run, [(item["event_id"], datetime.fromisoformat(item["synced_at"])) for item in items.values()]
            ),
        },
        bad_messages=[
            BadMessage(sink, message["MessageId"], message["Body"], _reason(logs[sink], message["MessageId"]))
            for sink in SINKS
            for message in _peek(run.stack.client("sqs"), outputs["dlq_urls"][sink])
            if json.loads(message["Body"])["id"] in run.details
        ],
        metadata=metadata,
        user_id=shown,
        item=items.get(shown, {}),
        answer=answer,
        differences=[
            *_strangers("Postgres", run.expected, rows),
            *differences.of_postgres(run.expected, rows),
            *_strangers("DynamoDB", run.expected, items),
            *differences.of_dynamodb(run.expected, items),
            *_compare_archive(run, archived),
            *compare_answer(run, shown, answer),
        ],
    )


# --- the stores' contents -----------------------------------------------------------------------------------------


@contextmanager
def _stores(stack: Stack) -> Iterator[dict[str, Store]]:
    """Open the stores, by sink."""
    table = DynamoDBStore(stack.client("dynamodb"), stack.outputs["users_table"])
    with Server(Database(url=stack.url_of("auth0_reader"))) as server:
        yield {"postgres": PostgresStore(server), "dynamodb": table}


def _changed(run: Run, sink: str, store: Store) -> dict[str, User]:
    """Read the users that have another version than before the run, tombstones included."""
    before = run.versions_before[sink]
    changed = [user_id for user_id, version in store.versions() if before.get(user_id) != version]
    return {user_id: user for user_id in changed if (user := store.read(user_id))}


def _archived(run: Run) -> list[Json]:
    """Return every event of this run in the archive."""
    s3 = run.stack.client("s3")
    bucket = run.stack.outputs["archive_bucket"]
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=run.stack.outputs["archive_prefix"])
    for key in [item["Key"] for page in pages for item in page.get("Contents", [])]:
        if key not in run.objects:
            lines = gzip.decompress(s3.get_object(Bucket=bucket, Key=key)["Body"].read()).splitlines()
            events = [json.loads(line) for line in lines]
            run.objects[key] = [event for event in events if event["id"] in run.details]
    return [event for events in run.objects.values() for event in events]


# --- compared with the truth --------------------------------------------------------------------------------------


def _strangers(store: str, expected: ExpectedState, stored: dict[str, Json]) -> Iterator[str]:
    for user_id in stored.keys() - expected.live.keys() - expected.deleted.keys():
        yield f"{store}: {user_id} is there, but no event created it"


def _compare_archive(run: Run, archived: list[Json]) -> Iterator[str]:
    copies = Counter(event["id"] for event in archived)
    for event_id, detail in run.details.items():
        if copies[event_id] != 1:
            yield f"archive: event {event_id} ({detail['log_id']}) is there {copies[event_id]} times"
    for event in archived:
        if event["detail"] != run.details[event["id"]]:
            yield f"archive: event {event['id']} differs from the event that was put"


def who_changed(run: Run, user_id: str) -> Result:
    """Ask Athena for the actors of a user's changes, with the number of events as limit, so that none is missing."""
    return questions.ask(
        run.stack.client("athena"),
        "who_changed_user",
        {"user_id": user_id, "since": run.started, "limit": len(run.details)},
        database=run.stack.outputs["glue_database"],
        workgroup=run.stack.outputs["athena_workgroup"],
    )


def compare_answer(run: Run, user_id: str, answer: Result) -> Iterator[str]:
    """Compare the Management API calls about the user in Athena with those that were put."""
    known = {
        detail["log_id"]
        for detail in run.details.values()
        if detail["data"]["type"] == "sapi" and quote(user_id, safe="") in detail["data"]["details"]["request"]["path"]
    }
    found = {row["log_id"] for row in answer.dicts()}
    if not known <= found:
        yield f"archive: Athena gives {len(found)} changes of {user_id}, but {len(known)} were put"


# --- the functions' logs ------------------------------------------------------------------------------------------


def _log(run: Run, sink: str) -> list[Json]:
    """Return the structured lines of a function's log since the run began."""
    seconds = (datetime.now(UTC) - run.started).total_seconds()
    lines = log_events(run.stack, run.stack.outputs["log_group_names"][f"sync-{sink}"], seconds)
    return [line for line in lines if isinstance(line, dict)]


def _counts(log: list[Json]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for line in log:
        if line.get("message") == "batch":
            counts.update({name: line[name] for name in Counts.__struct_fields__})
    return counts


def _reason(log: list[Json], message_id: str) -> str:
    details = [line["detail"] for line in log if line.get("message_id") == message_id]
    return str(details[-1]) if details else "the function's log says nothing of it"


def _lag(run: Run, stored: list[tuple[str, datetime]]) -> Lag:
    lags = [(at - run.put_at[log_id]).total_seconds() * 1000 for log_id, at in stored if log_id in run.put_at]
    cuts = quantiles(lags, n=100, method="inclusive")
    return Lag(cuts[49], cuts[98])


# --- the queues ----------------------------------------------------------------------------------------------------


def _dead_letter_queues(stack: Stack) -> dict[str, str]:
    """Return the URLs of the dead-letter queues of the sinks' functions and of EventBridge, by name."""
    failed = {sink: stack.outputs["dlq_urls"][sink] for sink in SINKS}  # a stack with refresh has no Auth0 to ask
    kinds = {"failed": failed, "undelivered": stack.outputs["target_dlq_urls"]}
    return {f"{target}-{kind}": url for kind, urls in kinds.items() for target, url in urls.items()}


def _waiting(sqs: Any, url: str) -> int:
    """Return the number of messages in a queue: waiting, in flight and delayed."""
    names = ("", "NotVisible", "Delayed")
    attributes = [f"ApproximateNumberOfMessages{name}" for name in names]
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=attributes)["Attributes"]
    return sum(int(answer[name]) for name in attributes)


def _peek(sqs: Any, url: str) -> list[Json]:
    """Return up to ten messages of a dead-letter queue, and leave them there."""
    answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    messages: list[Json] = answer.get("Messages", [])
    return messages
