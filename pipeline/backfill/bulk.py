"""Load an export into DynamoDB by its bulk put: DynamoDB reads the items from S3, and puts those that the table lacks.

Afterwards the command reads the table, and sends each user who is not there as written to the sink's function, in a
slice: only the sink can merge users who were there before, and the function tells why DynamoDB refused others.

Sources: API Reference of DynamoDB, StartBulkPutItems and BulkOperationDescription; DynamoDB Developer Guide, "Running a
bulk put items operation", "Amazon S3 input formats for bulk put items", "Best practices for bulk put items".
"""

import gzip
import io
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from typing import Any, Final

import botocore
import msgspec
from botocore.exceptions import ClientError
from msgspec import Struct
from msgspec.structs import replace

from pipeline.auth0.exports import lines
from pipeline.backfill.load import Loaded, load
from pipeline.backfill.objects import Cut, Exports, Result, Task, bulk, code, decoded
from pipeline.backfill.state import find, put_if
from pipeline.changes import Export, exported
from pipeline.errors import CommandError, Poison
from pipeline.progress import Step, duration
from pipeline.sinks.dynamodb import Attribute, DynamoDBSink, sizes

STORE: Final = "dynamodb"
BOTOCORE: Final = "1.44.8"
"""The version of botocore whose model of DynamoDB was read; 1.43 lacks the operation."""
CONDITION: Final = "attribute_not_exists(user_id)"
OBJECTS: Final = 50_000
"""Most objects that a bulk put reads ("Best practices")."""
POLL: Final = 5.0
"""Seconds between two looks at a bulk put."""
LOOKS: Final = 3
"""Looks in a row that do not find a bulk put, after which it counts as over: a new one may not be known at once."""
THREADS: Final = 4
"""Slices to compare with the table at a time."""
MARK: Final = "bulk_put"
"""An attribute that only an unconditional put would write."""
WITHOUT: Final = "Without --bulk the command loads the same users by conditional puts."

Item = dict[str, Attribute]
Read = Callable[[Sequence[str]], Mapping[str, Any]]
"""Reads the items of users, consistently, by their ids."""


class State(Struct, frozen=True):
    """The bulk put of an export, as an object beside it: the same command goes on with it."""

    table: str = ""
    """The table of the proof and of the bulk put; empty if an earlier version did not note it."""
    attempt: int = 1
    """A part of the idempotency token: DynamoDB answers a repeated one by the same bulk put for 8 hours."""
    proven: bool = False
    """True if DynamoDB was seen to evaluate the condition."""
    items: int = 0
    """Items in the objects; 0 if not all are written."""
    bytes: int = 0
    """The size of the items in the table."""
    units: int = 0
    """The write request units of as many puts."""
    arn: str = ""
    """The bulk put; empty if none runs."""


class Phase(Enum):
    """How far the bulk put of the users is, as far as the command has seen."""

    NOT_STARTED = auto()
    RUNS = auto()
    FAILED = auto()
    OVER = auto()


_state = msgspec.json.Decoder(State)


class _EmptyTable:
    """A client of a table that begins empty."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}

    def get_item(self, *, Key: Item, **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's names
        return {"Item": self.items[Key["user_id"]["S"]]} if Key["user_id"]["S"] in self.items else {}

    def put_item(self, *, Item: Item, **_: Any) -> None:  # noqa: N803 - boto3's names
        self.items[Item["user_id"]["S"]] = Item


def require(operations: Collection[str]) -> None:
    """Raise ``CommandError`` if the installed botocore has no bulk put."""
    if "StartBulkPutItems" not in operations:
        raise CommandError(
            f"--bulk needs botocore {BOTOCORE} or later, and {botocore.__version__} is installed, which does not know "
            f"StartBulkPutItems: pip install --upgrade 'boto3>={BOTOCORE}'. {WITHOUT}"
        )


def items(users: Iterable[bytes], export: Export) -> dict[str, Item]:
    """Return the items that the sink puts into an empty table for lines of an export, by user id."""
    table = _EmptyTable()
    sink = DynamoDBSink(table, "", threads=1)
    try:
        load(sink, users, export)
    finally:
        sink.close()
    return table.items


def record(item: Item) -> bytes:
    """Return the line of an item in an object for the bulk put."""
    return msgspec.json.encode({"Item": item, "ConditionExpression": CONDITION}) + b"\n"


def _user(line: bytes, export: Export) -> str:
    """Return the id of the user in a line; empty for one to leave to the sink's function.

    Its clock and its tolerance decide about a user who was updated after the export.
    """
    try:
        found, _ = exported(line, export)
    except Poison:
        return ""
    return found.user_id if found.updated_at <= export.taken_at else ""


class BulkPut:
    """The bulk put of one export into one table."""

    def __init__(
        self,
        exports: Exports,
        cut: Cut,
        client: Any,
        table: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``client`` is boto3's, of a version that passes ``require``.

        Raises ``CommandError`` for a large export, and for one whose bulk put is for another table.
        """
        if cut.slices > OBJECTS:
            raise CommandError(f"a bulk put reads {OBJECTS:,} objects, and the export has {cut.slices:,}. {WITHOUT}")
        self._exports, self._cut, self._client, self._table = exports, cut, client, table
        self._sleep = sleep
        self._place = bulk(cut.export.export_id)
        state = self._read_state()
        if state.table not in ("", table):
            raise CommandError(
                f"the bulk put of the export {cut.export.export_id} is for the table {state.table}, and USERS_TABLE is "
                f'{table}. Go on with the variables of the first deployment: eval "$(auth0-sync env --env …)"'
            )
        # What was seen of a table that is not known says nothing about this one.
        self.state = replace(state, table=table, proven=state.proven and bool(state.table))
        self.phase = Phase.RUNS if state.arn else Phase.NOT_STARTED

    def prove(self, user_id: str, step: Step) -> None:
        """See by one item that DynamoDB evaluates the condition: ignored, it would replace newer users.

        ``user_id`` is a user of the table whom nothing reads. Raises ``CommandError``.
        """
        if self.state.proven:
            return
        before = self._item(user_id)
        if before is None:
            raise CommandError(
                "the table lacks the user of the smoke test, on whom the condition of a bulk put is tried first: "
                f"auth0-sync smoke, then this again. {WITHOUT}"
            )
        # A token of its own: by that of a killed run, DynamoDB would answer for the earlier trial, whose traces may be
        # gone by now. The mark is as new, so that a replaced item is unlike the one that an earlier trial left.
        trial = uuid.uuid4().hex
        self._put(f"condition/{trial}/000001.json.gz", gzip.compress(record(before | {MARK: {"S": trial}}), mtime=0))
        ended = self._followed(self._started(f"condition/{trial}/", f"condition-{trial}"), step)
        after = self._item(user_id) or {}
        replaced = after != before or MARK in after
        # DynamoDB counts an item whose condition failed as processed, and not as failed (BulkOperationDescription).
        counts = ended.get("ProcessedItemCount"), ended.get("FailedItemCount", 0)
        if replaced or counts != (1, 0):
            raise CommandError(
                "DynamoDB did not evaluate the condition of a bulk put as expected. Items processed and failed: "
                f"{counts}; replaced: {replaced}. See s3://{self._exports.bucket}/{self._place}. A smoke test at the "
                f"same time looks like a replaced item: then repeat this after it. {WITHOUT}"
            )
        step.update("an item that the table has was not replaced")
        self._save(replace(self.state, proven=True))

    def put_objects(self, step: Step) -> None:
        """Write the items of each slice into an object. Earlier ones stay: DynamoDB may be reading them."""
        export, state = self._cut.export, replace(self.state, items=0, bytes=0, units=0)
        if self.state.items:
            return
        for number in range(1, self._cut.slices + 1):
            users = self._lines(number)
            found = items((line for line in users if _user(line, export)), export).values()
            totals = [sum(sizes(item).values()) for item in found]
            state = replace(
                state,
                items=state.items + len(totals),
                bytes=state.bytes + sum(totals),
                units=state.units + sum(-(-one // 1024) for one in totals),
            )
            if found:
                self._put(f"items/{number:06}.json.gz", gzip.compress(b"".join(map(record, found)), 6, mtime=0))
            step.update(f"{state.items:,} items, {state.bytes:,} bytes")
        self._save(state)

    def start(self) -> None:
        """Start the bulk put, or go on with the one that runs. Raises ``CommandError``."""
        if not self.state.items:
            self.phase = Phase.OVER  # there is nothing to put
            return
        if not self.state.arn:
            self._save(replace(self.state, arn=self._started("items/", f"items-{self.state.attempt}")))
        self.phase = Phase.RUNS

    def follow(self, step: Step) -> None:
        """Wait until the bulk put is over. Raises ``CommandError`` if it failed."""
        if self.state.arn:
            try:
                self._followed(self.state.arn, step)
            finally:
                if not self.state.arn:
                    self.phase = Phase.FAILED
        self.phase = Phase.OVER

    def rest(self, numbers: Sequence[int], read: Read, step: Step) -> list[Task]:
        """Return the tasks for the users who are not in the table as written; give the other slices a result."""
        tasks = list[Task]()
        with ThreadPoolExecutor(THREADS) as pool:
            for done, task in enumerate(pool.map(lambda number: self._rest_of(number, read), numbers), start=1):
                tasks += [task] if task else []
                step.update(f"{done:,} of {len(numbers):,} slices compared, {len(tasks):,} with users for the sink")
        return tasks

    def _rest_of(self, number: int, read: Read) -> Task | None:
        export, users = self._cut.export, self._lines(number)
        ids = [_user(line, export) for line in users]
        put = items((line for line, user_id in zip(users, ids, strict=True) if user_id), export)
        stored = read(list(put))
        there = {user_id for user_id, item in put.items() if _same(item, stored.get(user_id, {}))}
        rest = [line for line, user_id in zip(users, ids, strict=True) if user_id not in there]
        task = Task(export, number, STORE, written=len(users) - len(rest))
        if rest:
            self._exports.put_rest(export, number, gzip.compress(b"".join(rest), 6, mtime=0))
            return task
        self._exports.put_result(task, Result(Loaded(rows=len(users), applied=len(users))))
        return None

    def _lines(self, number: int) -> list[bytes]:
        try:
            content = self._exports.slice(Task(self._cut.export, number, STORE))
        except ClientError as error:
            if code(error) != "NoSuchKey":
                raise
            raise CommandError(
                f"slice {number} of the export is gone: it has expired, or auth0-sync erase deleted it. Export again: "
                "auth0-sync backfill --new --bulk"
            ) from None
        return [line.rstrip(b"\n") + b"\n" for line in lines(io.BytesIO(content))]

    def _item(self, user_id: str) -> Item | None:
        key = {"user_id": {"S": user_id}}
        found: Item | None = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return found

    def _started(self, what: str, token: str) -> str:
        """Start a bulk put of the objects below a prefix, and return its ARN; a repeated token returns the same."""
        where = {"S3Bucket": self._exports.bucket}
        export_id = self._cut.export.export_id
        try:
            answer = self._client.start_bulk_put_items(
                ClientToken=f"{export_id}-{token}",
                TableName=self._table,
                InputS3Configuration=where
                | {
                    "S3KeyPrefix": f"{self._place}{what}",
                    "InputFormat": "DYNAMODB_JSON",
                    "InputCompressionType": "GZIP",
                },
                # Not the items whose condition failed, which would only be further copies of users.
                OutputS3Configuration=where | {"S3KeyPrefix": f"{self._place}errors/", "OutputType": ["ERROR"]},
            )
        except ClientError as error:
            said = error.response.get("Error", {}).get("Message", "")
            raise CommandError(f"DynamoDB refused the bulk put: {code(error)}: {said} {WITHOUT}") from None
        return str(answer["BulkOperationDescription"]["BulkOperationArn"])

    def _followed(self, arn: str, step: Step) -> dict[str, Any]:
        """Wait until a bulk put is over; return its description. Raises ``CommandError`` if it failed.

        The description is empty if AWS does not describe it any more.
        """
        began, first, lost = time.monotonic(), -1, 0
        while True:
            found = self._description(arn)
            if found is None:
                lost += 1
                if lost >= LOOKS:
                    # Safe even if it still puts: the sink merges users, and the condition spares what is there.
                    step.update("AWS does not know the bulk put any more; the table tells whom it put")
                    return {}
                self._sleep(POLL)
                continue
            lost = 0
            status, put = found.get("BulkOperationStatus"), found.get("ProcessedItemCount", 0)
            first = put if first < 0 else first
            step.update(self._progress(put, (put - first) / max(time.monotonic() - began, 0.001)))
            if status in ("COMPLETED", "COMPLETED_WITH_ERRORS"):
                if refused := found.get("FailedItemCount", 0):
                    step.update(f"{put:,} items, {refused:,} refused, which the sink's function tries again")
                return found
            if status in ("CANCELLED", "FAILED"):
                self._save(replace(self.state, attempt=self.state.attempt + 1, arn=""))
                raise CommandError(
                    f"the bulk put ended as {status}: {found.get('FailureCode', '')}: "
                    f"{found.get('FailureMessage', '')} Items that it put stay. To start another one: auth0-sync "
                    f"backfill --resume {self._cut.export.export_id} --bulk. Without --bulk, it puts the rest by "
                    "conditional puts."
                )
            self._sleep(POLL)

    def _description(self, arn: str) -> dict[str, Any] | None:
        """Return what AWS says about a bulk put; None if it knows none of this ARN."""
        try:
            answer = self._client.describe_bulk_operation(BulkOperationArn=arn)
        except ClientError as error:
            if code(error) != "ResourceNotFoundException":
                raise
            return None
        found: dict[str, Any] = answer["BulkOperationDescription"]
        return found

    def _progress(self, put: int, rate: float) -> str:
        text = f"{put:,} of {self.state.items or 1:,} items"
        if rate < 1:
            return text
        left = (self.state.items - put) / rate
        return f"{text}, {rate:,.0f}/s" + (f", {duration(left)} left" if left > 0 else "")

    def _put(self, name: str, content: bytes) -> None:
        """Write an object unless it is there."""
        put_if(self._exports.s3, self._exports.bucket, self._place + name, content, IfNoneMatch="*")

    def _read_state(self) -> State:
        key = f"{self._place}state.json"
        if (answer := find(self._exports.s3, self._exports.bucket, key)) is None:
            return State()
        return decoded(_state, answer["Body"].read(), self._exports.bucket, key)

    def _save(self, state: State) -> None:
        key = f"{self._place}state.json"
        self._exports.s3.put_object(Bucket=self._exports.bucket, Key=key, Body=msgspec.json.encode(state))
        self.state = state


def _same(item: Item, stored: Mapping[str, Any]) -> bool:
    """Return whether the table has the row of the export: its place in the order, and the versions of its keys."""
    return all(stored.get(name) == item.get(name) for name in ("version", "carried"))
