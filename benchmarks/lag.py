"""``python -m benchmarks.lag``: seconds from put to stored in Postgres, on a local stack with the default settings.

It puts a tenant's traffic on the bus at a steady rate, and compares the time before each put with the row's
``synced_at``, for each user's last change. The stack is its own, on loopback, and goes down at the end.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any

import psutil

from benchmarks.timing import cpu_seconds
from devstack import stack as stacks
from devstack.stack import Stack
from devstack.traffic import DEFAULT_START, Event, generate
from tests.chaos import compare
from tests.chaos.load import Load

OUTPUT = Path("build/lag.json")
RATES = (10, 250)
MOST_RATE, MOST_SECONDS = 500, 600
WARM_UP = 200
"""Events before the measurement, so that it has no cold start."""
SETTLE_SECONDS = 300


def main() -> None:
    """Measure the lag at each rate; figures to the screen and build/lag.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lag", description=__doc__)
    parser.add_argument("--rate", type=_number(MOST_RATE), action="append", help=f"events a second; default: {RATES}")
    parser.add_argument("--seconds", type=_number(MOST_SECONDS), default=60)
    parser.add_argument("--directory", type=Path, default=stacks.DIRECTORY / "lag", help="of the stack")
    chosen = parser.parse_args()
    directory = chosen.directory.resolve()
    try:
        figures = measure(stacks.up(directory=directory), chosen.rate or RATES, chosen.seconds)
    finally:
        stacks.down(directory)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"written to {OUTPUT}")


def measure(stack: Stack, rates: Sequence[int], seconds: int) -> list[dict[str, Any]]:
    """Return the lag's percentiles at each rate, with how busy the emulator and the machine were."""
    lags(stack, _traffic(WARM_UP, day=0), rate=50)
    figures = []
    emulator = psutil.Process(stack.emulator_pid)
    for day, rate in enumerate(rates, 1):
        events, began, used = _traffic(rate * seconds, day), time.monotonic(), cpu_seconds(emulator)
        found = lags(stack, events, rate)
        took = time.monotonic() - began
        cuts = quantiles(found, n=100, method="inclusive")
        figure = {
            "rate": rate,
            "events": len(events),
            "changes": len(found),
            "p50": round(cuts[49], 2),
            "p99": round(cuts[98], 2),
            "longest": round(max(found), 2),
            "seconds": round(took),
            "emulator_cores": round((cpu_seconds(emulator) - used) / took, 2),
            "load_average": round(os.getloadavg()[0], 1),
        }
        print(" ".join(f"{name} {value}" for name, value in figure.items()), flush=True)
        figures.append(figure)
    return figures


def lags(stack: Stack, events: Sequence[Event], rate: int) -> list[float]:
    """Put events, wait until both queues are empty, and return the seconds of each user's last change.

    Raises if Postgres does not hold the users of the events.
    """
    before = compare.read_rows(stack.database_url)
    load = Load(stack)
    load.put(events, rate=rate)
    _settle(stack)
    rows = compare.read_rows(stack.database_url)
    if wrong := list(compare.postgres(load.expected, rows, before)):
        raise SystemExit(f"{len(wrong)} differences, such as: {wrong[0]}")
    stored = ((row["event_id"], row["synced_at"]) for row in rows.values())
    return [(at - load.put_at[log_id]).total_seconds() for log_id, at in stored if log_id in load.put_at]


def _settle(stack: Stack) -> None:
    sqs, deadline = stack.client("sqs"), time.monotonic() + SETTLE_SECONDS
    names = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible")]
    while time.monotonic() < deadline:
        answers = [sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names) for url in _queues(stack)]
        if not any(int(answer["Attributes"][name]) for answer in answers for name in names):
            return
        time.sleep(1)  # each look takes the emulator's CPU
    raise SystemExit(f"Messages are still in the queues after {SETTLE_SECONDS} s.")


def _queues(stack: Stack) -> list[str]:
    return [stack.outputs["queue_urls"][sink] for sink in ("postgres", "dynamodb")]


def _traffic(count: int, day: int) -> list[Event]:
    """Return a tenant's activity with a user for each two events; a later day's changes are the newer ones."""
    return list(generate(count, max(20, count // 2), day, start=DEFAULT_START + timedelta(days=day)))


def _number(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text)
        if not 1 <= number <= most:
            raise argparse.ArgumentTypeError(f"{number} is not 1 to {most}")
        return number

    return read


if __name__ == "__main__":
    main()
