"""Time contestants in turns, so that a busy moment of the machine slows all of them."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Contestant = tuple[Callable[[], Any], Callable[[Any], object]]
"""``prepare`` makes the input, untimed; ``run`` is timed."""


def seconds(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, float]:
    """Return the median seconds of each contestant over ``rounds``, after one round that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, (prepare, run) in contestants.items():
            given = prepare()
            gc.collect()
            gc.disable()
            start = time.perf_counter()
            run(given)
            elapsed = time.perf_counter() - start
            gc.enable()
            if turn:
                taken[name].append(elapsed)
    return {name: statistics.median(times) for name, times in taken.items()}
