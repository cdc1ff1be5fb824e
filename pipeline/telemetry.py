"""The logger and the metrics. Neither holds personal data: users appear as ``pseudonym``s.

docs/metrics.md defines each metric; a test compares the two. Both are lines of JSON on standard output, which Lambda
sends to CloudWatch: the logger's, and those in the embedded metric format (CloudWatch User Guide, "Specification:
Embedded metric format").
"""

import json
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from pipeline.errors import Auth0SyncError
from pipeline.pseudonym import pseudonym

if TYPE_CHECKING:
    from pipeline.batch import Counts, Failure  # which most functions do not load

NAMESPACE = "auth0-sync"
"""Namespace of the metrics."""

_FIELDS = frozenset(vars(logging.makeLogRecord({})))
"""Fields of every record; the others come from ``extra``."""


class _Lines(logging.Formatter):
    """Format a record as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "level": record.levelname,
            "location": f"{record.funcName}:{record.lineno}",
            "message": record.getMessage(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "service": _service(),
        }
        extra = {name: value for name, value in vars(record).items() if name not in _FIELDS}
        return _json(line | extra)


def _service() -> str:
    return os.environ.get("SERVICE_NAME") or "auth0-sync"


_json = json.JSONEncoder(default=str, separators=(",", ":")).encode


handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(_Lines())
logger = logging.getLogger("auth0-sync")
logger.setLevel(os.environ.get("LOG_LEVEL") or "INFO")
logger.propagate = False  # Lambda's runtime would write each line once more
logger.addHandler(handler)


def error_fields(error: Auth0SyncError) -> dict[str, str]:
    """Return the fields of a log line about an error."""
    return {"reason": error.reason, "detail": str(error)}


def failure_fields(failure: "Failure") -> dict[str, str]:
    """Return the fields of a log line about a message that failed."""
    user = {} if failure.user_id is None else {"user": pseudonym(failure.user_id)}
    return {"message_id": failure.message_id, **error_fields(failure.error), **user}


SPECIAL = ("UnknownPaths", "UnnamedDeletions", "OddFields", "WrongClocks")
"""Metrics that ``count`` sends only if they are not zero."""


def count(
    sink: str,
    counts: "Counts",
    masked: int = 0,
    lag: float | None = None,
    special: Mapping[str, int] | None = None,
    about: Mapping[str, object] | None = None,
) -> None:
    """Log a batch in a line that also sends its counts and its lag (milliseconds, see ``lag``) as metrics, by sink.

    ``special`` has the counts of ``SPECIAL`` to send: AWS bills each sent metric. Without it, all are sent as 0.
    ``about`` has further fields of the line.
    """
    numbers = {name: getattr(counts, name) for name in counts.__struct_fields__}
    metrics = {name.capitalize(): number for name, number in numbers.items()}
    others = dict.fromkeys(SPECIAL, 0) if special is None else special
    fields = {"level": "INFO", "message": "batch", **numbers, **(about or {})}
    emit(("sink", sink), {**metrics, "Masked": masked, **others}, {} if lag is None else {"SyncLag": lag}, fields)


def emit(
    dimension: tuple[str, str],
    counts: Mapping[str, int],
    milliseconds: Mapping[str, float],
    fields: Mapping[str, object] | None = None,
) -> None:
    """Send numbers as metrics, in a line that may have other fields.

    Zero counts are sent, too: they distinguish "no failure" from "no data". ``DEPLOYMENT`` separates the deployments of
    one account.
    """
    name, value = dimension
    dimensions = {"deployment": os.environ.get("DEPLOYMENT") or "local", name: value, "service": _service()}
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(dimensions)],
        "Metrics": _definitions(tuple(counts), tuple(milliseconds)),
    }
    about = {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]}
    values = {metric: [float(number)] for metric, number in {**counts, **milliseconds}.items()}
    sys.stdout.write(_json({**(fields or {}), "_aws": about, **dimensions, **values}) + "\n")
    sys.stdout.flush()


@cache
def _definitions(counts: tuple[str, ...], milliseconds: tuple[str, ...]) -> list[dict[str, str]]:
    units = dict.fromkeys(counts, "Count") | dict.fromkeys(milliseconds, "Milliseconds")
    return [{"Name": metric, "Unit": unit} for metric, unit in units.items()]


def lag(instants: Sequence[str], now: datetime) -> float | None:
    """Return how late a batch is: milliseconds from the median of ``instants`` to ``now``, 0 where clocks differ.

    The median, as one old event that was delivered again must not distort it. ``None`` for no instants.
    """
    if not instants:
        return None
    middle = sorted(instants)[len(instants) // 2]
    return max(0.0, (now - datetime.fromisoformat(middle)).total_seconds() * 1000)
