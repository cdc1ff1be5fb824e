"""Read the log groups of the embedded stack's functions."""

import json
import time
from collections.abc import Iterator
from typing import Any

from devstack.stack import Stack


def log_events(stack: Stack, group: str, seconds: float) -> Iterator[dict[str, Any] | str]:
    """Return the lines of a log group from the last ``seconds``: JSON objects parsed, others as text."""
    start = int((time.time() - seconds) * 1000)
    pages = stack.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group, startTime=start)
    for page in pages:
        for event in page["events"]:
            yield _parsed(event["message"].rstrip("\n"))


def _parsed(message: str) -> dict[str, Any] | str:
    try:
        line = json.loads(message)
    except ValueError:
        return message
    return line if isinstance(line, dict) else message
