"""``python -m benchmarks.lag``: seconds from put to stored in Postgres, on a local stack with the default settings.

It puts updates of distinct users on the bus at a steady rate, and compares the time before each put with the row's
``synced_at``. The stack is its own, on loopback, and goes down at the end.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

import psycopg

from benchmarks.records import Users
from devstack import stack as stacks
from devstack.stack import Stack

OUTPUT = Path("build/lag.json")
RATES = (10, 250)
MOST_RATE, MOST_SECONDS = 500, 600
CALLS = 20
"""Calls of PutPartnerEvents in a second at most; each takes up to 20 events."""
WARM_UP = 200
"""Events before the measurement, so that it has no cold start."""
SETTLE_SECONDS = 120


def main() -> None:
    """Measure the lag at each rate; figures to the screen and build/lag.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lag", description=__doc__)
    parser.add_argument("--rate", type=_number(MOST_RATE), action="append", help=f"events a second; default: {RATES}")
    parser.add_argument("--seconds", type=_number(MOST_SECONDS), default=60)
    parser.add_argument("--directory", type=Path, default=stacks.DIRECTORY / "lag", help="of the stack")
    chosen = parser.parse_args()
    try:
        figures = measure(stacks.up(directory=chosen.directory.resolve()), chosen.rate or RATES, chosen.seconds)
    finally:
        stacks.down(chosen.directory.resolve())
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"written to {OUTPUT}")


def measure(stack: Stack, rates: Sequence[int], seconds: int) -> list[dict[str, Any]]:
    """Return the lag's percentiles at each rate, with the machine's load average before and after."""
    lags(stack, _events(WARM_UP, seed=0), rate=50)
    figures = []
    for rate in rates:
        before = os.getloadavg()[0]
        found = sorted(lags(stack, _events(rate * seconds, seed=rate), rate))
        cuts = quantiles(found, n=100, method="inclusive")
        percentiles = {name: round(value, 2) for name, value in (("p50", cuts[49]), ("p99", cuts[98]))}
        load = [round(before, 1), round(os.getloadavg()[0], 1)]
        figure = {"rate": rate, "events": len(found), **percentiles, "longest": round(found[-1], 2), "load": load}
        print(" ".join(f"{name} {value}" for name, value in figure.items()), flush=True)
        figures.append(figure)
    return figures


def lags(stack: Stack, details: Sequence[Any], rate: int) -> list[float]:
    """Put events, wait until all are stored, and return the seconds that each took. Raises if one is missing."""
    put_at: dict[str, datetime] = {}
    client = stack.client("events")
    size = min(20, math.ceil(rate / CALLS))
    started = time.monotonic()
    for start in range(0, len(details), size):
        time.sleep(max(0.0, started + start / rate - time.monotonic()))
        some, now = details[start : start + size], datetime.now(UTC)
        entries = [
            {"Time": now, "Source": stack.log_stream_source, "DetailType": "Auth0 log", "Detail": json.dumps(detail)}
            for detail in some
        ]
        if client.put_partner_events(Entries=entries)["FailedEntryCount"]:
            raise SystemExit("The bus refused events.")
        put_at |= {detail["log_id"]: now for detail in some}
    behind = time.monotonic() - started - len(details) / rate
    if behind > 1:
        print(f"The stack took the events {behind:.1f} s later than at {rate} a second.")
    stored = _stored(stack, put_at)
    return [(stored[log_id] - at).total_seconds() for log_id, at in put_at.items()]


def _stored(stack: Stack, wanted: dict[str, datetime]) -> dict[str, datetime]:
    deadline = time.monotonic() + SETTLE_SECONDS
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        while True:
            rows = dict(connection.execute("SELECT event_id, synced_at FROM auth0.users").fetchall())
            if wanted.keys() <= rows.keys():
                return rows
            if time.monotonic() > deadline:
                raise SystemExit(f"{len(wanted.keys() - rows.keys())} events are not stored after {SETTLE_SECONDS} s.")
            time.sleep(1)


def _events(count: int, seed: int) -> list[Any]:
    """Return updates of ``count`` users; the users of another seed are others."""
    return [json.loads(record["body"])["detail"] for record in Users(count, seed).batch(count)]


def _number(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text)
        if not 1 <= number <= most:
            raise argparse.ArgumentTypeError(f"{number} is not 1 to {most}")
        return number

    return read


if __name__ == "__main__":
    main()
