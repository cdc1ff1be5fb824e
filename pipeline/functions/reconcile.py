"""The reconcile function: compare Postgres with DynamoDB on a schedule, and send the drift as metrics. It only reads.

The VPC has no endpoint of SQS or CloudWatch, so the function knows no queue. A difference is in flight if its last
change is younger than the lag, which must outlast the tries of a message.
"""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import psycopg

from pipeline.errors import Auth0SyncError
from pipeline.functions import Context, aws_client
from pipeline.progress import Quiet
from pipeline.reconcile import STORES, Kind
from pipeline.reconcile.dynamodb import SEGMENTS, DynamoDBUsers, ScanRequests
from pipeline.reconcile.look import Report, Stores
from pipeline.reconcile.postgres import PostgresUsers
from pipeline.settings import Comparison
from pipeline.sinks.postgres import connect
from pipeline.stores.server import Server
from pipeline.telemetry import emit, error_fields, logger

RESERVE: Final = 45.0
"""Seconds kept at the end of the function's time for the pages under way, and for the report."""


class OutOfTime(Auth0SyncError):
    """The comparison did not end in the function's time."""


class PostgresNotRead(Auth0SyncError):
    """Postgres did not answer a statement of the comparison; the next try may succeed."""


class Deadline(Quiet):
    """A ``Progress`` that ends the work when its time is over: ``update`` then raises OutOfTime."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends = clock() + seconds

    def left(self) -> float:
        """Return the seconds that are left."""
        return self._ends - self._clock()

    def update(self, text: str) -> None:
        """Raise OutOfTime if no time is left."""
        if self.left() <= 0:
            raise OutOfTime(text)


@cache
def clients() -> tuple[Any, ScanRequests]:
    """Return the execution environment's one client of DynamoDB, and the one that scans."""
    return aws_client("dynamodb", attempts=5, connect=2, read=10), ScanRequests.connect(SEGMENTS)


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:  # noqa: ARG001 - Lambda's form
    """Compare the stores; return what was found, and whether the comparison is complete.

    Raises the errors of a store that cannot be read, so that Lambda counts an error and tries again. It does not for a
    comparison that takes too long, which the next try could not end either.
    """
    settings = Comparison.from_env()
    deadline = Deadline(context.get_remaining_time_in_millis() / 1000 - RESERVE)
    client, scanner = clients()
    with Server(settings.database, left=deadline.left, connect=connect) as server:
        stores = Stores(
            PostgresUsers(server, contents=settings.contents),
            DynamoDBUsers(client, scanner, settings.table, contents=settings.contents),
        )
        report = compare(stores, settings, deadline)
    count(report)
    return log(report)


def compare(stores: Stores, settings: Comparison, deadline: Deadline) -> Report:
    """Compare the stores until the deadline. The report of a part is not ``finished``."""
    report = Report()
    try:
        stores.look(lambda: dict.fromkeys(STORES, datetime.now(UTC) - settings.lag), deadline, report)
    except OutOfTime as error:
        logger.error("comparison not finished", extra=error_fields(error))
    except psycopg.Error as error:
        if not isinstance(error, psycopg.errors.QueryCanceled) or deadline.left() > 0:
            # Not the error itself, which may quote values.
            raise PostgresNotRead(f"{type(error).__name__}, SQLSTATE {error.sqlstate}") from None
        logger.error("comparison not finished", extra=error_fields(OutOfTime("in a statement of Postgres")))
    return report


def count(report: Report) -> None:
    """Send the metrics of a comparison; of an unfinished one no zeros, as it has not seen all users."""
    for kind in Kind:
        drift = sum(one.kind is kind for one in report.drift)
        if drift or report.finished:
            emit(("kind", kind), {"Drift": drift}, {})
    users = max(report.users.values(), default=0)
    found = {"Drift": len(report.drift), "InFlight": report.in_flight, "UsersCompared": users}
    sent = {name: number for name, number in found.items() if number or report.finished}
    emit(
        ("function", "reconcile"),
        sent | {"Unfinished": int(not report.finished)},
        {"CompareTime": report.seconds * 1000},
    )


def log(report: Report) -> dict[str, Any]:
    """Log the comparison, and return the same numbers."""
    found = {
        "finished": report.finished,
        "users": {str(store): number for store, number in report.users.items()},
        "drift": {f"{kind} in {store or 'both'}": number for (kind, store), number in report.counts.items()},
        "in_flight": report.in_flight,
        "seconds": round(report.seconds, 1),
    }
    logger.info("compared", extra=found)
    return found


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    clients()  # load their library while the function starts: Lambda then gives it a whole CPU
