"""The sync function: write an SQS batch of Auth0 events into the store that ``SINK`` names."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from time import perf_counter
from typing import Any, TypeVar

from msgspec.structs import asdict, replace

from pipeline import settings
from pipeline.batch import Counts, collect, event_times, summarize
from pipeline.changes import DAY, MASKED, ODD, UNKNOWN_PATH, UNNAMED_DELETION, WRONG_CLOCK
from pipeline.errors import Retry
from pipeline.senders import Senders
from pipeline.sinks import Sink
from pipeline.telemetry import count, error_fields, failure_fields, lag, logger

CHUNK = 100
"""Messages in the first chunk of a batch; each further chunk grows by the same number."""

REFRESH_ALIAS = ":refresh"
"""End of the only ARN by which the refresh's role may invoke the function: an alias of its own."""
BACKFILL_ALIAS = ":backfill"
"""End of the only ARN by which the backfill's roles may invoke the function, with slices of exports alone."""

T = TypeVar("T")

Answer = dict[str, list[dict[str, str]]]
"""A partial batch response: the messages that SQS must deliver again."""


class Sync:
    """Store the batches of one queue in one store."""

    def __init__(
        self,
        sink: Sink,
        name: str,
        *,
        history: bool = False,
        tolerance: timedelta = DAY,
        senders: Senders | None = None,
        chunk: int = CHUNK,
        log: logging.Logger = logger,
        measure: Callable[..., None] = count,
    ) -> None:
        """See ``pipeline.batch.collect`` for ``tolerance`` and ``senders``.

        See ``pipeline.telemetry.count`` for ``measure``.
        """
        self.sink = sink
        self._name = name
        self._history = history
        self._tolerance = tolerance
        self._senders = senders
        self._chunk = chunk
        self._log = log
        self._measure = measure

    def __call__(self, records: Sequence[Mapping[str, Any]], *, from_refresh: bool = False) -> Answer:
        """Store a batch of SQS records; ``from_refresh`` says that the refresh itself invoked the function.

        Raises ``pipeline.errors.Retry`` if the store takes nothing, so that Lambda backs off and counts an error.
        """
        started = perf_counter()
        total, failed = Counts(), dict[str, None]()
        ignored, signals, notes, happened = Counter[str](), Counter[str](), Counter[str](), list[str]()
        # Each chunk is a batch of its own: the store orders the changes of a user in two chunks.
        senders = self._senders and replace(self._senders, only_refresh=from_refresh)
        read = partial(collect, history=self._history, tolerance=self._tolerance, senders=senders)
        try:
            for batch, outcome in self.sink.write(chunks(records, self._chunk), read):
                failures, counts = summarize(batch, outcome)
                for log_id in batch.masked:
                    self._log.warning("masked log", extra={"log_id": log_id})
                for failure in failures:
                    self._log.error("message not stored", extra=failure_fields(failure))
                    failed[failure.message_id] = None
                total += counts
                ignored.update(batch.ignored)
                signals.update(batch.signals)
                notes.update(batch.notes)
                happened += event_times(batch, outcome)
        except Retry as error:
            self._log.error(
                "batch not stored", extra={"sink": self._name, "messages": len(records), **error_fields(error)}
            )
            raise
        took = {"milliseconds": round((perf_counter() - started) * 1000)}
        about = {"ignored_by": ignored, "signals_by": signals, "notes": notes, **took}
        special = {
            "UnknownPaths": ignored[UNKNOWN_PATH],
            "UnnamedDeletions": ignored[UNNAMED_DELETION],
            "OddFields": sum(number for note, number in notes.items() if note.startswith(ODD)),
            "WrongClocks": notes[WRONG_CLOCK],
        }
        special = {metric: number for metric, number in special.items() if number}
        self._measure(self._name, total, signals[MASKED], lag(happened, datetime.now(UTC)), special, about)
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

    def load(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Store a slice of an export, ``lines`` in gzip and base64; return the counts and the refused users.

        Raises ``pipeline.errors.Retry`` if the store did not take a user now: the slice must be loaded again.
        """
        # Only a backfill needs these.
        import base64
        import io

        import msgspec

        from pipeline.auth0.exports import lines
        from pipeline.backfill.load import load
        from pipeline.changes import Export
        from pipeline.pseudonym import pseudonym

        started = perf_counter()
        export = msgspec.convert(event["export"], Export)
        content = io.BytesIO(base64.b64decode(event["lines"]))
        try:
            loaded, refused = load(self.sink, lines(content), export, tolerance=self._tolerance)
        except Retry as error:
            self._log.error("slice not stored", extra={"sink": self._name, **error_fields(error)})
            raise
        users = {pseudonym(one.user_id): one.error for one in refused}
        for user, refusal in users.items():
            self._log.error("user not stored", extra={"user": user, **error_fields(refusal)})
        took = {"milliseconds": round((perf_counter() - started) * 1000)}
        self._log.info("slice", extra={"sink": self._name, "export": export.export_id, **asdict(loaded), **took})
        return {"loaded": asdict(loaded), "refused": {user: error.reason for user, error in users.items()}}


def chunks(records: Sequence[T], first: int = CHUNK) -> list[Sequence[T]]:
    """Split a batch into growing chunks. The first is small because the store is idle while it is read."""
    found: list[Sequence[T]] = []
    start, size = 0, first
    while len(records) - start - size >= first:
        found.append(records[start : start + size])
        start, size = start + size, size + first
    return [*found, records[start:]]


@cache
def sync() -> Sync:
    """Return the execution environment's one ``Sync``, made by its settings; its sink keeps its connections."""
    name = settings.sink()
    history = name == "postgres" and settings.history()
    senders = Senders(settings.event_sources(), settings.refresh_role_id())
    return Sync(_sink(name), name, history=history, tolerance=settings.clock_tolerance(), senders=senders)


def _sink(name: str) -> Sink:
    if name == "postgres":
        from pipeline.sinks.postgres import PostgresSink, connect

        database = settings.Database.from_env()
        return PostgresSink(lambda: connect(database))

    from pipeline.sinks.dynamodb import THREADS, DynamoDBSink
    from pipeline.sinks.dynamodb_requests import PreparedRequests

    return DynamoDBSink(PreparedRequests.connect(THREADS), settings.users_table())


def handler(event: dict[str, Any], context: object) -> Answer | dict[str, Any]:
    """Store a batch, or a slice of an export; see ``answer``."""
    return answer(sync(), event, getattr(context, "invoked_function_arn", ""))


def answer(function: Sync, event: Mapping[str, Any], invoked: str) -> Answer | dict[str, Any]:
    """Store an event with ``function``; the alias in the ARN ``invoked`` decides which events the caller may send."""
    if invoked.endswith(BACKFILL_ALIAS):
        return function.load(event)
    if invoked.endswith(REFRESH_ALIAS):
        return function(event["Records"], from_refresh=True)
    return function(event["Records"]) if "Records" in event else function.load(event)


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    sync()  # load the store's libraries while the function starts: Lambda then gives it a whole CPU
