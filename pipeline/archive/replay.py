"""Send events of the archive to the queues of the sinks again. The sinks ignore old events, so repeats do no harm."""

import gzip
import io
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from pipeline.archive.objects import read_again
from pipeline.changes import read
from pipeline.delivery import Sent
from pipeline.delivery.consumers import Consumer
from pipeline.delivery.queue import BATCH_MESSAGES, Queue
from pipeline.delivery.tally import Tally
from pipeline.errors import Poison

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

THREADS: Final = 16
"""Batches that are sent at the same time."""
IN_FLIGHT: Final = 4 * THREADS
BUFFER: Final = timedelta(minutes=15)
"""Firehose names an object by the hour of its first event, and buffers events for 15 minutes at most."""
HOUR: Final = "%Y-%m-%dT%H"


@dataclass
class Report(Tally):
    """The events that a replay found, and how many of them it sent."""

    objects: int = 0
    events: int = 0
    wanted: Counter[str] = field(default_factory=Counter)
    """Consumer to number of events for it."""
    too_large: Counter[str] = field(default_factory=Counter)
    """Consumer to number of events over its queue's limit, which go to its function."""
    unreadable: Counter[str] = field(default_factory=Counter)
    """Reason why the sync cannot read an event, to number of events. Replay does not send these."""
    resume: str | None = None
    """The hour to start again from, if the replay stopped before the end."""
    seconds: float = 0.0


def period(since: str, until: str | None, now: datetime) -> tuple[datetime, datetime]:
    """Return the beginning and the end. ``until`` includes its whole hour or, if it is a date, its whole day.

    Raises ValueError.
    """
    start, end = _moment(since), now if until is None else _moment(until).replace(minute=59)
    if until is not None and len(until) == len("2026-11-22"):
        end += timedelta(hours=23)
    if start > end:
        raise ValueError(f"the period ends before it begins: {start:{HOUR}} to {end:{HOUR}} UTC")
    return start, end


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def keys(s3: "S3Client", bucket: str, prefix: str, start: datetime, end: datetime) -> Iterator[tuple[str, str]]:
    """Return hour and key of the archive's objects with events of a period, in order."""
    start -= BUFFER
    first, last = f"{start:{HOUR}}", f"{end:{HOUR}}"
    for number in range((end.date() - start.date()).days + 1):
        day = f"{start.date() + timedelta(number)}"
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}dt={day}/")
        for page in pages:
            for one in page.get("Contents", []):
                hour = f"{day}T{one['Key'].partition('/hour=')[2][:2]}"
                if first <= hour <= last:
                    yield hour, one["Key"]


def lines(content: bytes) -> Iterator[str]:
    """Return the lines of an object; decompress it if it begins as gzip does."""
    stream: io.IOBase = io.BytesIO(content)
    if content.startswith(b"\x1f\x8b"):
        stream = gzip.GzipFile(fileobj=stream)
    for line in stream:
        if text := line.strip():
            yield text.decode(errors="replace")


@read_again
def read_object(s3: "S3Client", bucket: str, key: str) -> bytes:
    """Return the bytes of an object as they are stored."""
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def replay(
    s3: "S3Client",
    bucket: str,
    objects: Iterable[tuple[str, str]],
    targets: Mapping[Consumer, Queue],
    report: Report,
    *,
    user_id: str | None = None,
    dry_run: bool = False,
    update: Callable[[Report], None] = lambda _: None,
) -> None:
    """Send the events of objects that concern users, or one user, to the targets that want them.

    Stops after the hour in which a queue was down. ``report`` is right at every moment, even after an error.
    """
    began = time.monotonic()
    pending: deque[tuple[Consumer, int, Future[Sent]]] = deque()

    def await_answers(left: int) -> bool:
        """Wait until at most ``left`` batches are in flight; return whether every queue took its messages."""
        up = True
        while len(pending) > left:
            consumer, count, future = pending.popleft()
            up = report.add(consumer, count, future.result()) and up
        report.seconds = time.monotonic() - began
        update(report)
        return up

    with ThreadPoolExecutor(THREADS) as pool:
        for report.resume, in_hour in groupby(objects, itemgetter(0)):
            up = True
            for consumer, bodies in _batches(s3, bucket, (key for _, key in in_hour), targets, user_id, report):
                if not dry_run:
                    pending.append((consumer, len(bodies), pool.submit(targets[consumer].send, bodies)))
                up = await_answers(IN_FLIGHT) and up
            if not (await_answers(0) and up):
                return
    report.resume = None


def _batches(
    s3: "S3Client",
    bucket: str,
    keys: Iterable[str],
    targets: Mapping[Consumer, Queue],
    user_id: str | None,
    report: Report,
) -> Iterator[tuple[Consumer, list[str]]]:
    waiting: dict[Consumer, list[str]] = {consumer: [] for consumer in targets}
    for key in keys:
        report.objects += 1
        for body in lines(read_object(s3, bucket, key)):
            report.events += 1
            try:
                meanings = read(body)
            except Poison as error:
                report.unreadable[error.reason] += 1
                continue
            for consumer, queue in targets.items():
                if not consumer.wants(meanings, user_id):
                    continue
                report.wanted[consumer] += 1
                report.too_large[consumer] += not queue.fits(body)
                waiting[consumer].append(body)
                if len(waiting[consumer]) == BATCH_MESSAGES:
                    yield consumer, waiting[consumer]
                    waiting[consumer] = []
    yield from ((consumer, bodies) for consumer, bodies in waiting.items() if bodies)
