"""Time contestants in turns, so that a busy moment of the machine slows all of them; read the CPU time of others."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psutil

Contestant = tuple[Callable[[], Any], Callable[[Any], object]]
"""``prepare`` makes the input, untimed; ``run`` is timed."""


def seconds(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, float]:
    """Return the median seconds of each contestant over ``rounds``, after one round that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, (prepare, run) in contestants.items():
            given = prepare()
            with uncollected():
                start = time.perf_counter()
                run(given)
                elapsed = time.perf_counter() - start
            if turn:
                taken[name].append(elapsed)
    return {name: statistics.median(times) for name, times in taken.items()}


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect garbage before the block, and none in it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process, in steps of 10 ms."""
    times = process.cpu_times()
    return float(times.user + times.system)
