"""The stack under test: its load, its faults, and the comparison at the end of a scenario."""

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

import psutil
import psycopg

from devstack import logs, postgres
from devstack import stack as stacks
from devstack.stack import Stack
from devstack.traffic import Event
from pipeline.archive.athena import query
from tests.chaos import compare
from tests.chaos.load import Json, Load
from tests.faults.support import FlakyDynamoDB
from tests.threads import meanwhile

SINKS = ("postgres", "dynamodb")
SETTLE_SECONDS = 900
SLOWEST = 20
"""Events in a second that the busiest machine still stores; a large scenario may take as long to settle."""
FUNCTION_SECONDS = 20
VISIBILITY_SECONDS = 22
"""Not below the functions' time, as on AWS."""
RECEIVES = 1000
"""Tries of a message, the most that SQS allows: on a busy machine a batch may need many, without a failure."""
SHOWN = 5
"""Differences of a kind to name."""
GROWTH = 1.1
"""Factor by which the memory of a function may grow under a steady load."""
QUARTER_SECONDS = 10
"""Shortest quarter of a scenario in which its memory is judged."""


@dataclass
class Result:
    """The figures of a scenario, and the differences after it."""

    name: str
    events: int = 0
    seconds: float = 0
    lag: tuple[float, float] = (0, 0)
    """Seconds from put to stored of each user's last change: median, and 99 of 100."""
    retried: int = 0
    deepest: int = 0
    """Most messages that waited in both queues at once."""
    dead: int = 0
    """Messages in the dead-letter queues at the end."""
    megabytes: dict[str, float] = field(default_factory=dict)
    """Most memory of a process of each sink's function."""
    differences: list[str] = field(default_factory=list)


Stored = dict[str, Json]
"""The content of a store, by user id."""


def _largest(samples: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the largest number of each name."""
    names = {name for sample in samples for name in sample}
    return {name: max(sample.get(name, 0.0) for sample in samples) for name in sorted(names)}


class World:
    """The running stack in ``directory``, for one scenario after the other."""

    def __init__(self, stack: Stack, directory: Path, seed: int, size: float = 1) -> None:
        self.stack, self.directory, self.seed, self._size = stack, directory, seed, size
        self.sqs = stack.client("sqs")
        self.outputs = stack.outputs
        self._dynamodb, self._table = stack.client("dynamodb"), stack.outputs["users_table"]
        self.wrong: list[str] = []
        """Problems that a scenario itself found."""
        self._objects: dict[str, list[tuple[str, bytes]]] = {}
        """The id and the line of each event, by the archive's object; parsed ones would take four times the memory."""
        self._memory: list[dict[str, float]] = []
        """Every second of the scenario, the megabytes of the largest process of each sink's function."""

    def size(self, events: int) -> int:
        """Return the number of events of a scenario, which a short run makes smaller."""
        return max(200, int(events * self._size))

    # --- a scenario ---

    def run(self, name: str, scenario: Callable[["World"], Load]) -> Result:
        """Play a scenario, wait until the stack is quiet, and compare everything with what was put."""
        result, began, started = Result(name), time.monotonic(), datetime.now(UTC)
        with self._settings():
            before = compare.read_rows(self.stack.database_url), self.items()
            self.wrong, self._memory = [], []
            with self._watched(result):
                load = scenario(self)
                result.differences += self.settle(load) + self.wrong
            result.seconds = time.monotonic() - began
            result.differences += self._differences(load, *before)
            result.dead = sum(self.waiting(url) for url in self._dead_urls())
            self._empty_dead_letters()
        self._objects = {key: [] for key in self._objects}  # read, and of no other scenario
        result.events = len(load.details)
        result.lag = self._lag(load)
        result.retried = self._retried((datetime.now(UTC) - started).total_seconds())
        return result

    def put_during(self, load: Load, events: Sequence[Event], fault: Callable[[], None], rate: float = 300) -> None:
        """Put events, and let ``fault`` happen, and end, after the first quarter of them."""
        before = len(load.details)
        with ThreadPoolExecutor(1) as pool:
            putting = pool.submit(load.put, events, rate=rate)
            while not putting.done() and len(load.details) - before < len(events) / 4:
                time.sleep(0.05)
            fault()
            putting.result()

    def settle(self, load: Load) -> list[str]:
        """Wait until the queues are empty and the archive has every event; return what is still missing."""
        seconds = max(SETTLE_SECONDS, len(load.details) / SLOWEST)
        deadline = time.monotonic() + seconds
        while True:
            waiting = {sink: self.waiting(self.outputs["queue_urls"][sink]) for sink in SINKS}
            missing = len(load.details) - sum(1 for _ in self._archived(load))
            if not any(waiting.values()) and missing <= 0:
                return []
            if time.monotonic() > deadline:
                return [f"after {seconds:.0f} s: {waiting} messages wait, {missing} events are not archived"]
            time.sleep(1)

    # --- what is there ---

    def items(self) -> dict[str, Json]:
        """Return every item of DynamoDB."""
        return compare.read_items(self._dynamodb, self._table)

    def raw_items(self) -> dict[str, Json]:
        """Return every item in DynamoDB's own JSON."""
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True)
        return {item["user_id"]["S"]: item for page in pages for item in page["Items"]}

    def archived(self, load: Load) -> Iterator[Json]:
        """Yield the scenario's events in the archive."""
        return (json.loads(line) for line in self._archived(load))

    def _archived(self, load: Load) -> Iterator[bytes]:
        """Yield the lines of the scenario's events. An object never changes, so each is read once."""
        s3, bucket = self.stack.client("s3"), self.outputs["archive_bucket"]
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=self.outputs["archive_prefix"])
        for key in [item["Key"] for page in pages for item in page.get("Contents", [])]:
            if key not in self._objects:
                lines = gzip.decompress(s3.get_object(Bucket=bucket, Key=key)["Body"].read()).splitlines()
                self._objects[key] = [(json.loads(line)["id"], line) for line in lines]
        return (line for found in self._objects.values() for event_id, line in found if event_id in load.details)

    def waiting(self, url: str) -> int:
        """Return the number of messages of a queue: waiting, in flight and delayed."""
        names = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible", "Delayed")]
        attributes = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(attributes[name]) for name in names)

    def dead_letters(self, sink: str) -> list[Json]:
        """Return the messages of a sink's dead-letter queue, and leave them there."""
        return self._receive(self.outputs["dlq_urls"][sink])

    def execute(self, statement: str, *parameters: Any) -> list[Any]:
        """Run a statement as the superuser, and return its rows."""
        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def check_view(self, load: Load) -> list[str]:
        """Return what is wrong with the archive's view of the tenant's logs, which has each log once."""
        client, database = self.stack.client("athena"), self.outputs["glue_database"]
        sql = "SELECT log_id FROM tenant_logs WHERE dt >= ?"
        day = min(load.put_at.values()).date().isoformat()
        rows = query(client, sql, database=database, workgroup=self.outputs["athena_workgroup"], parameters=[day])
        seen = Counter(log_id for (log_id,) in rows.rows if log_id in load.put_at)
        wrong = [log_id for log_id in load.put_at if seen[log_id] != 1]
        return [f"archive's view: log {log_id} is there {seen[log_id]} times" for log_id in wrong[:SHOWN]]

    # --- an operator's hand ---

    def delete_user(self, user_id: str) -> None:
        """Delete a user's row and item."""
        self.execute("DELETE FROM auth0.user_rows WHERE user_id = %s", user_id)
        self._dynamodb.delete_item(TableName=self._table, Key={"user_id": {"S": user_id}})

    def restore_user(self, user_id: str, backup: str, item: Json) -> None:
        """Put back an earlier row, from a copy of the table, and an earlier item."""
        named = (
            "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns WHERE "
            "table_schema = 'auth0' AND table_name = 'user_rows' AND is_generated = 'NEVER'"
        )
        [(columns,)] = self.execute(named)
        self.execute("DELETE FROM auth0.user_rows WHERE user_id = %s", user_id)
        insert = f"INSERT INTO auth0.user_rows ({columns}) SELECT {columns} FROM {backup} WHERE user_id = %s"
        self.execute(insert, user_id)
        self._dynamodb.put_item(TableName=self._table, Item=item)

    def edit_user(self, user_id: str, key: str) -> None:
        """Add a key to a user's profile, and leave the version as it is."""
        edit = "UPDATE auth0.user_rows SET profile = profile || jsonb_build_object(%s::text, true) WHERE user_id = %s"
        self.execute(edit, key, user_id)
        self._dynamodb.update_item(
            TableName=self._table,
            Key={"user_id": {"S": user_id}},
            UpdateExpression="SET #profile.#key = :yes",
            ExpressionAttributeNames={"#profile": "profile", "#key": key},
            ExpressionAttributeValues={":yes": {"BOOL": True}},
        )

    # --- faults ---

    def kill_postgres(self) -> None:
        """Kill the server, as when its machine dies, and start it at the same address after six seconds."""
        server = postgres.running(self.directory / "postgres")
        assert server is not None
        os.kill(server.pid, signal.SIGKILL)
        time.sleep(6)
        assert postgres.start(self.directory / "postgres", port=server.port).port == server.port

    def pause_postgres(self, seconds: float) -> None:
        """Stop the server's processes, which keep their connections, and let them continue."""
        server = postgres.running(self.directory / "postgres")
        assert server is not None
        main = psutil.Process(server.pid)
        family = [main, *main.children()]
        try:
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
            time.sleep(seconds)
        finally:
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    @contextmanager
    def all_connections_taken(self) -> Iterator[None]:
        """Take every connection that is not a superuser's, those of the functions included."""
        taken: list[psycopg.Connection] = []
        url = self.stack.url_of("auth0_reader")
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'auth0_writer'"
        try:
            for _ in range(3):
                with suppress(psycopg.OperationalError):
                    while True:
                        taken.append(psycopg.connect(url, autocommit=True))
                self.execute(end)
            yield
        finally:
            for connection in taken:
                connection.close()

    def workers(self) -> list[psutil.Process]:
        """Return the functions' processes."""
        return psutil.Process(self.stack.emulator_pid).children(recursive=True)

    @contextmanager
    def flaky_dynamodb(self) -> Iterator[FlakyDynamoDB]:
        """Put a proxy between the function and DynamoDB; its ``rule`` says what happens to each put."""
        proxy, name = FlakyDynamoDB(self.stack.endpoint), self.outputs["function_names"]["sync-dynamodb"]
        functions = self.stack.client("lambda")
        before = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        try:
            flaky = before | {"AWS_ENDPOINT_URL_DYNAMODB": proxy.url}
            functions.update_function_configuration(FunctionName=name, Environment={"Variables": flaky})
            yield proxy
        finally:
            functions.update_function_configuration(FunctionName=name, Environment={"Variables": before})
            for process in self.workers():  # one of them may still have the proxy's address
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            proxy.close()

    def set_receives(self, receives: int, visibility: int = VISIBILITY_SECONDS, sinks: Sequence[str] = SINKS) -> None:
        """Set how often, and how far apart, a message is tried."""
        for sink in sinks:
            url = self.outputs["queue_urls"][sink]
            answer = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]
            policy = json.loads(answer["RedrivePolicy"]) | {"maxReceiveCount": receives}
            attributes = {"RedrivePolicy": json.dumps(policy), "VisibilityTimeout": str(visibility)}
            self.sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)

    def command(self, *arguments: str) -> str:
        """Run ``auth0-sync`` on the stack, and return what it printed. Raises CalledProcessError."""
        command = [sys.executable, "-c", "from pipeline.cli import main; main()", *arguments]
        environment = os.environ | stacks.environment(self.stack)
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=300)
        return done.stdout

    # --- around a scenario ---

    @contextmanager
    def _settings(self) -> Iterator[None]:
        """Give functions and queues the times of the scenarios, and put theirs back."""
        functions = self.stack.client("lambda")
        names = [self.outputs["function_names"][f"sync-{sink}"] for sink in SINKS]
        timeouts = {name: functions.get_function_configuration(FunctionName=name)["Timeout"] for name in names}
        wanted = ["VisibilityTimeout", "RedrivePolicy"]
        urls = [self.outputs["queue_urls"][sink] for sink in SINKS]
        queues = {url: self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"] for url in urls}
        try:
            for name in names:
                functions.update_function_configuration(FunctionName=name, Timeout=FUNCTION_SECONDS)
            self.set_receives(RECEIVES)
            yield
        finally:
            for name, timeout in timeouts.items():
                functions.update_function_configuration(FunctionName=name, Timeout=timeout)
            for url, attributes in queues.items():
                self.sqs.set_queue_attributes(QueueUrl=url, Attributes={name: attributes[name] for name in wanted})

    def memory_growth(self) -> list[str]:
        """Return the functions whose memory grew from the second quarter of the scenario's time to the last one."""
        quarter = len(self._memory) // 4
        if quarter < QUARTER_SECONDS:
            return []
        second, last = _largest(self._memory[quarter : 2 * quarter]), _largest(self._memory[-quarter:])
        return [
            f"the memory of the function for {sink} grew from {second[sink]:.0f} to {last[sink]:.0f} MB"
            for sink in second.keys() & last.keys()
            if last[sink] > GROWTH * second[sink]
        ]

    @contextmanager
    def _watched(self, result: Result) -> Iterator[None]:
        def watch(ended: threading.Event) -> None:
            while not ended.wait(1):
                depth = sum(self.waiting(self.outputs["queue_urls"][sink]) for sink in SINKS)
                result.deepest = max(result.deepest, depth)
                self._memory.append(self._megabytes())
                result.megabytes = _largest([result.megabytes, self._memory[-1]])

        with meanwhile(watch):
            yield

    def _megabytes(self) -> dict[str, float]:
        """Return the memory of the largest process of each sink's function."""
        found: list[dict[str, float]] = []
        for process in self.workers():
            with suppress(psutil.Error):
                command = " ".join(process.cmdline())
                sinks = [sink for sink in SINKS if self.outputs["function_names"][f"sync-{sink}"] in command]
                found += [{sink: process.memory_info().rss / 1e6} for sink in sinks]
        return _largest(found)

    def _differences(self, load: Load, rows_before: Stored, items_before: Stored) -> list[str]:
        rows, items = compare.read_rows(self.stack.database_url), self.items()
        users = load.expected.live.keys() | load.expected.deleted.keys()
        kinds: list[Iterator[str]] = [
            compare.postgres(load.expected, rows, rows_before),
            compare.dynamodb(load.expected, items, items_before),
            compare.versions(rows, items, users),
            compare.archive(load.details, self.archived(load)),
        ]
        for sink in SINKS:
            found = [json.loads(message["Body"])["detail"]["log_id"] for message in self.dead_letters(sink)]
            kinds.append(compare.dead_letters(f"dead letters of {sink}", load.unreadable, found))
        differences = []
        for kind in kinds:
            found = list(kind)
            differences += found[:SHOWN] + ([f"and {len(found) - SHOWN} more of these"] if found[SHOWN:] else [])
        return differences

    def _lag(self, load: Load) -> tuple[float, float]:
        rows = compare.read_rows(self.stack.database_url)
        stored = [(row["event_id"], row["synced_at"]) for row in rows.values()]
        stored += [(item["event_id"], datetime.fromisoformat(item["synced_at"])) for item in self.items().values()]
        lags = [(at - load.put_at[log_id]).total_seconds() for log_id, at in stored if log_id in load.put_at]
        cuts = quantiles(lags, n=100, method="inclusive") if len(lags) > 1 else [0.0] * 99
        return cuts[49], cuts[98]

    def _retried(self, seconds: float) -> int:
        """Return how many messages the functions left for another try, by their logs."""
        count = 0
        for sink in SINKS:
            for line in logs.log_events(self.stack, self.outputs["log_group_names"][f"sync-{sink}"], seconds):
                match line:
                    case {"message": "batch", "retried": int(number)}:
                        count += number
                    case {"message": "batch not stored", "messages": int(number)}:
                        count += number
        return count

    def _dead_urls(self) -> list[str]:
        return [self.outputs["dlq_urls"][sink] for sink in SINKS]

    def _receive(self, url: str) -> list[Json]:
        found: dict[str, Json] = {}
        while messages := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=60).get(
            "Messages"
        ):
            found |= {message["MessageId"]: message for message in messages}
        for message in found.values():
            self.sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        return list(found.values())

    def _empty_dead_letters(self) -> None:
        for url in self._dead_urls():
            for message in self._receive(url):
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
