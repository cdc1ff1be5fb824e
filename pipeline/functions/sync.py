"""The sync function: an SQS batch of Auth0 events into the store that ``SINK`` names."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from itertools import zip_longest
from time import perf_counter
from typing import Any

from msgspec.structs import asdict

from pipeline import settings
from pipeline.batch import Batch, Counts, Failure, collect, event_times, settle
from pipeline.changes import MASKED, ODD, UNKNOWN_PATH, UNNAMED_DELETION, WRONG_CLOCK, Outcome
from pipeline.errors import Retry, SyncError
from pipeline.sinks import Sink
from pipeline.telemetry import behind, count, logger, pseudonym

PART = 100
"""Messages that are read, and stored, at first; each further part of a batch has so many more than the one before."""


@cache
def sink() -> Sink:
    """The store of this function, made once per execution environment; it keeps its connections."""
    if settings.sink() == "postgres":
        from pipeline.sinks.postgres import PostgresSink, connect

        database = settings.Database.from_env()
        return PostgresSink(lambda: connect(database))

    import boto3
    from botocore.config import Config

    from pipeline.sinks.dynamodb import THREADS, DynamoDBSink

    retries: Any = {"mode": "standard", "total_max_attempts": 4}
    config = Config(max_pool_connections=THREADS, retries=retries, connect_timeout=2, read_timeout=5)
    return DynamoDBSink(boto3.client("dynamodb", config=config), settings.users_table())


def handler(event: dict[str, Any], context: object) -> dict[str, list[dict[str, str]]]:  # noqa: ARG001 - Lambda's form
    """Store a batch; the answer names the messages that SQS must deliver again (a partial batch response).

    Raises ``pipeline.errors.Retry`` where the store takes nothing, so that Lambda backs off and counts an error.
    """
    started = perf_counter()
    name, records = settings.sink(), event["Records"]
    total, failed = Counts(), dict[str, None]()
    ignored, signals, notes, happened = Counter[str](), Counter[str](), Counter[str](), list[str]()
    try:
        for batch, outcome in _stored(records, history=name == "postgres" and settings.history()):
            failures, counts = settle(batch, outcome)
            for log_id in batch.masked:
                logger.warning("masked log", extra={"log_id": log_id})
            for failure in failures:
                logger.error("message not stored", extra=_message(failure))
                failed[failure.message_id] = None
            total += counts
            ignored.update(batch.ignored)
            signals.update(batch.signals)
            notes.update(batch.notes)
            happened += event_times(batch, outcome)
    except Retry as error:
        logger.error("batch not stored", extra={"sink": name, "messages": len(records), **_why(error)})
        raise
    took = {"milliseconds": round((perf_counter() - started) * 1000)}
    by = {"ignored_by": ignored, "signals_by": signals, "notes": notes}
    logger.info("batch", extra={"sink": name, **asdict(total), **by, **took})
    special = {
        "UnknownPaths": ignored[UNKNOWN_PATH],
        "UnnamedDeletions": ignored[UNNAMED_DELETION],
        "OddFields": sum(number for note, number in notes.items() if note.startswith(ODD)),
        "WrongClocks": notes[WRONG_CLOCK],
    }
    special = {metric: number for metric, number in special.items() if number}
    count(name, total, signals[MASKED], behind(happened, datetime.now(UTC)), special)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _stored(records: Sequence[Mapping[str, Any]], *, history: bool) -> Iterator[tuple[Batch, Outcome]]:
    """Store a large batch in parts, and read the next one while the store works: then it costs only the first.

    A part is a batch of its own: a user who is in two of them is ordered by the store.
    """
    tolerance = settings.clock_tolerance()
    reading = [cache(partial(collect, part, history=history, tolerance=tolerance)) for part in parts(records)]
    for read, following in zip_longest(reading, reading[1:]):
        batch = read()
        yield batch, sink().apply(batch.changes, batch.history, following)


def parts(records: Sequence[Mapping[str, Any]]) -> list[Sequence[Mapping[str, Any]]]:
    """A batch in parts: a small one first, as nothing is stored while it is read, then larger and thus fewer ones."""
    found, start, size = [], 0, PART
    while len(records) - start - size >= PART:
        found.append(records[start : start + size])
        start, size = start + size, size + PART
    return [*found, records[start:]]


def _why(error: SyncError) -> dict[str, str]:
    return {"reason": error.reason, "detail": str(error)}


def _message(failure: Failure) -> dict[str, str]:
    user = {} if failure.user_id is None else {"user": pseudonym(failure.user_id)}
    return {"message_id": failure.message_id, **_why(failure.error), **user}


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    sink()  # load the store's libraries while the function starts, where Lambda lends a whole CPU
