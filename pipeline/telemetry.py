"""The one logger and the one set of metrics. Neither ever holds personal data: users appear as ``pseudonym``s."""

import hashlib
import os

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit

from pipeline.batch import Counts

os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "auth0-sync")
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "auth0-sync")

logger = Logger()
metrics = Metrics()


def pseudonym(user_id: str) -> str:
    """A short digest that is the same for the same user, to follow one user through the logs."""
    return hashlib.sha256(user_id.encode("utf-8", "replace")).hexdigest()[:16]


def count(sink: str, counts: Counts) -> None:
    """Put a batch's counts into metrics, by sink, and flush them (EMF: a line of the function's log)."""
    metrics.add_dimension("sink", sink)
    for name in ("received", "applied", "duplicate", "stale", "ignored", "signals", "poison", "retried"):
        metrics.add_metric(name.capitalize(), MetricUnit.Count, getattr(counts, name))
    metrics.flush_metrics()
