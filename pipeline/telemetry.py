"""The logger and the metrics. Neither holds personal data: users appear as ``pseudonym``s.

docs/metrics.md defines each metric; a test compares the two.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit

from pipeline.batch import Counts, Failure
from pipeline.errors import Auth0SyncError
from pipeline.pseudonym import pseudonym

os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "auth0-sync")
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "auth0-sync")

logger = Logger()
metrics = Metrics()


def error_fields(error: Auth0SyncError) -> dict[str, str]:
    """Return the fields of a log line about an error."""
    return {"reason": error.reason, "detail": str(error)}


def failure_fields(failure: Failure) -> dict[str, str]:
    """Return the fields of a log line about a message that failed."""
    user = {} if failure.user_id is None else {"user": pseudonym(failure.user_id)}
    return {"message_id": failure.message_id, **error_fields(failure.error), **user}


SPECIAL = ("UnknownPaths", "UnnamedDeletions", "OddFields", "WrongClocks")
"""Metrics that ``count`` sends only if they are not zero."""


def count(
    sink: str, counts: Counts, masked: int = 0, lag: float | None = None, special: Mapping[str, int] | None = None
) -> None:
    """Send a batch's counts and its lag (milliseconds, see ``lag``) as metrics, by sink.

    ``special`` has the counts of ``SPECIAL`` to send: AWS bills each sent metric. Without it, all are sent as 0.
    """
    numbers = {name.capitalize(): getattr(counts, name) for name in counts.__struct_fields__}
    others = dict.fromkeys(SPECIAL, 0) if special is None else special
    emit(("sink", sink), {**numbers, "Masked": masked, **others}, {} if lag is None else {"SyncLag": lag})


def emit(dimension: tuple[str, str], counts: Mapping[str, int], milliseconds: Mapping[str, float]) -> None:
    """Send numbers as metrics, and flush them (EMF: a line of the function's log).

    Zero counts are sent, too: they distinguish "no failure" from "no data". ``DEPLOYMENT`` separates the deployments of
    one account.
    """
    metrics.add_dimension("deployment", os.environ.get("DEPLOYMENT") or "local")
    metrics.add_dimension(*dimension)
    for name, number in counts.items():
        metrics.add_metric(name, MetricUnit.Count, number)
    for name, duration in milliseconds.items():
        metrics.add_metric(name, MetricUnit.Milliseconds, duration)
    metrics.flush_metrics()


def lag(instants: Sequence[str], now: datetime) -> float | None:
    """Return how late a batch is: milliseconds from the median of ``instants`` to ``now``, 0 where clocks differ.

    The median, as one old event that was delivered again must not distort it. ``None`` for no instants.
    """
    if not instants:
        return None
    middle = sorted(instants)[len(instants) // 2]
    return max(0.0, (now - datetime.fromisoformat(middle)).total_seconds() * 1000)
