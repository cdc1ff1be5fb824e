"""Kill a load of an export at random points, go on, and compare: ``python -m tests.backfill.killed --points 20``.

A process loads slices into Postgres and notes the result of each, as the functions do. SIGKILL ends it, and the
next one begins with the slices that have no result.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import psycopg

from devstack import postgres
from pipeline.auth0.exports import lines
from pipeline.backfill.load import Loaded, load
from pipeline.backfill.slices import Report, cut
from pipeline.changes import Export
from pipeline.functions.migrate import migrate
from pipeline.settings import Database
from pipeline.sinks.postgres import PostgresSink, connect
from tests.strategies import text, user

EXPORT = Export("job-1", "2026-01-15T09:00:00.000000Z")
MOMENT = "2026-01-14T09:00:00.000Z"


class Repeated(NamedTuple):
    """The work that kills have caused."""

    users: int
    """Users that were loaded again."""
    most: int
    """The most of them in one slice."""


def run(url: str, directory: Path, users: int, points: int, rng: random.Random) -> Repeated:
    """Load ``users`` with a kill at each of ``points``. Raises AssertionError unless each user is stored once."""
    profiles = (text(user(f"auth0|{number}", MOMENT)).encode() for number in range(users))
    for number, content in enumerate(cut(profiles, EXPORT, Report()), 1):
        (directory / f"{number:06}.gz").write_bytes(content)
    for _ in range(points):
        with _start(url, directory) as worker:
            assert worker.stdout is not None
            worker.stdout.readline()  # the worker has begun
            time.sleep(rng.uniform(0, 0.5))  # the kill comes at a random point
            worker.send_signal(signal.SIGKILL)
    with _start(url, directory) as worker:
        worker.communicate()
    assert worker.returncode == 0
    results = [msgspec.json.decode(path.read_bytes(), type=Loaded) for path in directory.glob("*.json")]
    assert len(results) == len([*directory.glob("*.gz")])
    assert sum(one.rows for one in results) == users
    with psycopg.connect(url) as connection:
        stored = connection.execute("SELECT count(*), count(DISTINCT user_id) FROM auth0.users").fetchone()
    assert stored == (users, users)
    again = [one.rows - one.applied for one in results]
    return Repeated(sum(again), max(again))


def _start(url: str, directory: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.backfill.killed", "--work", url, str(directory)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def work(url: str, directory: Path) -> None:
    """Load the slices that have no result."""
    sink = PostgresSink(lambda: connect(Database(url=url)))
    _print("begins")
    for path in sorted(directory.glob("*.gz")):
        result = path.with_suffix(".json")
        if result.exists():
            continue
        with path.open("rb") as file:
            loaded, _ = load(sink, lines(file), EXPORT)
        result.with_suffix(".new").write_bytes(msgspec.json.encode(loaded))
        result.with_suffix(".new").rename(result)
    sink.close()


def main() -> None:
    """Kill a load on a Postgres of its own, and print the number of users that were loaded again."""
    parser = argparse.ArgumentParser(prog="python -m tests.backfill.killed", description=__doc__)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", nargs=2, metavar=("URL", "DIRECTORY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work[0], Path(arguments.work[1]))
        return
    with tempfile.TemporaryDirectory(prefix="auth0-sync-killed-") as directory:
        server = postgres.start(Path(directory) / "postgres")
        try:
            url = postgres.create_database(server.url, "killed")
            migrate(Database(url=url))
            (slices := Path(directory) / "slices").mkdir()
            found = run(url, slices, arguments.users, arguments.points, random.Random(arguments.seed))
        finally:
            postgres.stop(Path(directory) / "postgres", delete=True)
    _print(json.dumps({"points": arguments.points, "users": arguments.users, **found._asdict()}))


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a program's output


if __name__ == "__main__":
    main()
