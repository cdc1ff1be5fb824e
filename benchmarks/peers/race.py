"""Let writers take turns, and measure each batch by the wall and by the CPU."""

import statistics
from collections.abc import Mapping
from contextlib import suppress
from time import perf_counter, process_time
from typing import Any, NamedTuple

import psutil

from benchmarks.peers.contestants import Write
from benchmarks.records import Records, Users
from benchmarks.timing import cpu_seconds, uncollected


class Racer(NamedTuple):
    """A writer, and the process of its server."""

    write: Write
    server: psutil.Process


class Cost(NamedTuple):
    """Seconds of a batch: by the wall, and of the CPU for this process and for the server's."""

    wall: float
    client: float
    server: float


def race(racers: Mapping[str, Racer], users: Users, size: int, rounds: int) -> dict[str, Any]:
    """Give each writer the same batch in turn, and return the figures of each by name.

    The first racer is the one to compare with. The first round does not count.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in racers}
    for turn in range(rounds + 1):
        records = users.batch(size)
        for name, (write, server) in racers.items():
            cost = _cost(write, records, server)
            if turn:
                costs[name].append(cost)
    return _figures(costs, size)


def _cost(write: Write, records: Records, server: psutil.Process) -> Cost:
    with uncollected():
        before = _cpu(server)
        start, own = perf_counter(), process_time()
        write(records)
        wall, client = perf_counter() - start, process_time() - own
    return Cost(wall, client, _cpu(server) - before)


def _cpu(server: psutil.Process) -> float:
    """Return the CPU seconds of a server's processes, those that have ended included, in steps of 10 ms."""
    used = server.cpu_times()
    total: float = used.user + used.system + used.children_user + used.children_system
    for child in server.children():
        with suppress(psutil.NoSuchProcess):
            total += cpu_seconds(child)
    return total


def _figures(costs: Mapping[str, list[Cost]], size: int) -> dict[str, Any]:
    """Take the median of the wall's times, and the mean of the CPU's, whose steps are too long for one batch."""
    wall = {name: statistics.median(cost.wall for cost in taken) for name, taken in costs.items()}
    client = {name: statistics.fmean(cost.client for cost in taken) for name, taken in costs.items()}
    server = {name: statistics.fmean(cost.server for cost in taken) for name, taken in costs.items()}
    first = next(iter(costs))
    return {
        name: {
            "events_per_second": round(size / wall[name]),
            "times_ours": round(wall[name] / wall[first], 2),
            "client_cpu_us": round(client[name] / size * 1e6, 1),
            "server_cpu_us": round(server[name] / size * 1e6, 1),
            "cpu_times_ours": round((client[name] + server[name]) / (client[first] + server[first]), 2),
        }
        for name in costs
    }
