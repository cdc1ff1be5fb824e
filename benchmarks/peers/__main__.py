"""``python -m benchmarks.peers``: our sink beside its peers; figures to the screen and build/peers.json.

In the race each writer has an embedded Postgres of its own, so that none pays for the pages and checkpoints of
another. Compare figures within one run only.
"""

import argparse
import json
import logging
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from importlib.metadata import version
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, LiteralString, NamedTuple

import psutil
import psycopg

from benchmarks.peers import verdict
from benchmarks.peers.contestants import FIVE, Write, copy_and_merge, our_sink, row_by_row, sqlalchemy
from benchmarks.peers.events import shuffled
from benchmarks.peers.race import Racer, race
from benchmarks.peers.reading import Order
from benchmarks.records import Records, Users
from devstack import postgres
from pipeline.functions.migrate import migrate
from pipeline.settings import Database

OUTPUT = Path("build/peers.json")
ROUNDS = {500: 8, 5_000: 5}
"""Rounds of the race by the size of its batches."""
DELIVERED = 500
"""Records per batch of the shuffled events."""

OURS = "our sink"
PACKAGES = ("dlt", "psycopg2-binary", "psycopg", "SQLAlchemy", "pyarrow", "msgspec")


class Peer(NamedTuple):
    """A way to write batches, and how to set it up."""

    open: Callable[[str, Order], AbstractContextManager[Write]]
    in_our_table: bool = True
    keeps_events: bool = True
    """True if each of its rows names its event; only such rows can be compared."""


def contestants() -> dict[str, Peer]:
    """Return our sink and its peers by name."""
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}  # dlt reads them once
    from benchmarks.peers.with_dlt import dlt_merge

    return {
        OURS: Peer(lambda url, _: our_sink(url)),
        "COPY and merge": Peer(copy_and_merge),
        "COPY and merge, tuned": Peer(partial(copy_and_merge, tuned=True)),
        "COPY and merge, five columns": Peer(partial(copy_and_merge, columns=FIVE), False, False),
        "SQLAlchemy, executemany": Peer(sqlalchemy),
        "psycopg, row by row": Peer(row_by_row),
        "dlt, upsert": Peer(partial(dlt_merge, strategy="upsert"), False),
        "dlt, delete-insert": Peer(dlt_merge, False),
        "dlt, delete-insert of newer rows": Peer(partial(dlt_merge, guarded=True), False),
        "dlt, delete-insert, objects": Peer(partial(dlt_merge, objects=True), False),
    }


@contextmanager
def running(directory: Path) -> Iterator[postgres.Server]:
    """Yield a new embedded Postgres, and delete it after the block."""
    try:
        yield postgres.start(directory)
    finally:
        postgres.stop(directory, delete=True)


def new_database(server: postgres.Server, peer: Peer, name: str) -> str:
    """Return the URL of a new database, with our tables if the peer writes into them."""
    url = postgres.create_database(server.url, name)
    if peer.in_our_table:
        migrate(Database(url=url))
    return url


def main() -> None:
    """Measure the rates, then judge the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", help="part of the names of peers to compare with; all by default")
    parser.add_argument("--users", type=int, default=10_000, help="rows in the table")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    # The sync's metrics are lines on standard output; there they would drown the figures.
    screen, sys.stdout = sys.stdout, Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process
    show = partial(print, file=screen, flush=True)
    chosen = {
        name: peer
        for name, peer in contestants().items()
        if name == OURS or not arguments.only or any(part in name for part in arguments.only)
    }
    with TemporaryDirectory(prefix="auth0-sync-peers-") as directory, running(Path(directory) / "judge") as server:
        figures = _versions(server) | _race(chosen, Path(directory), Users(arguments.users), show)
        figures["judged"] = _judge(chosen, server, show)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(figures, indent=2) + "\n")
    show(f"written to {OUTPUT}")


def _versions(server: postgres.Server) -> dict[str, Any]:
    with psycopg.connect(server.url) as connection:
        found = connection.info.parameter_status("server_version")
    packages = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "postgres": found, "packages": packages, "cpus": os.cpu_count()}


def _race(chosen: Mapping[str, Peer], directory: Path, users: Users, show: Callable[[str], None]) -> dict[str, Any]:
    everyone = list(users.everyone(5_000))
    event_bytes = sum(len(record["body"].encode()) for records in everyone for record in records) // len(users)
    batches: dict[str, Any] = {}
    with ExitStack() as stack:
        racers: dict[str, Racer] = {}
        for name, peer in chosen.items():
            server = stack.enter_context(running(directory / f"racer_{len(racers)}"))
            url = new_database(server, peer, "race")
            write = stack.enter_context(peer.open(url, "updated_at"))
            racers[name] = Racer(write, psutil.Process(server.pid))
            for records in everyone:
                write(records)
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
                connection.execute("CHECKPOINT")
        show(f"{len(users):,} users in the table, {event_bytes:,} bytes an event")
        for size, rounds in ROUNDS.items():
            batches[str(size)] = race(racers, users, size, rounds)
            _show_race(batches[str(size)], size, show)
    return {"users": len(users), "event_bytes": event_bytes, "batches": batches}


def _show_race(figures: Mapping[str, Any], size: int, show: Callable[[str], None]) -> None:
    show(f"\n{f'batches of {size:,}':<36}{'events/s':>10}{'ours is':>10}{'CPU us/event':>18}{'ours is':>10}")
    for name, one in figures.items():
        cpu = f"{one['client_cpu_us']:.0f} + {one['server_cpu_us']:.0f}"
        rate, times, cpu_times = one["events_per_second"], one["times_ours"], one["cpu_times_ours"]
        show(f"{name:<36}{rate:>10,}{f'{times}x':>10}{cpu:>18}{f'{cpu_times}x':>10}")


def _judge(chosen: Mapping[str, Peer], server: postgres.Server, show: Callable[[str], None]) -> dict[str, Any]:
    records = shuffled()
    wanted = verdict.expected(records)
    kept: dict[str, Any] = {}
    numbers = count(1)
    show(f"\nrows kept of {len(records):,} shuffled changes of {len(wanted)} users, newest by")
    for name, peer in chosen.items():
        if not peer.keeps_events:
            continue
        orders: tuple[Order, ...] = ("version",) if name == OURS else ("updated_at", "version")
        kept[name] = {}
        for order in orders:
            url = new_database(server, peer, f"judged_{next(numbers)}")
            kept[name][order] = _kept(peer, order, url, records, wanted)
        for order, counts in kept[name].items():
            show(f"{name:<36}{order:<12}" + ", ".join(f"{number} {what}" for what, number in sorted(counts.items())))
    return {"changes": len(records), "users": len(wanted), "kept": kept}


def _kept(peer: Peer, order: Order, url: str, records: Records, wanted: Mapping[str, verdict.Kept]) -> dict[str, int]:
    with peer.open(url, order) as write:
        for start in range(0, len(records), DELIVERED):
            write(records[start : start + DELIVERED])
    with psycopg.connect(url, options="-c timezone=UTC") as connection:
        # The view puts our table's profiles together; dlt has a table of its own alone.
        relation: LiteralString = "auth0.users" if peer.in_our_table else "auth0.user_rows"
        return dict(verdict.compare(wanted, verdict.stored(connection, relation)))


if __name__ == "__main__":
    main()
