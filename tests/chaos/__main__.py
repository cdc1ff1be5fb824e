"""Play scenarios on a stack of their own: real Terraform, emulator, functions and Postgres, on loopback.

The seed decides what is sent; how the parts interleave is up to the machine. Exit code 1 if anything was lost, wrong
or doubled in a store, a dead-letter queue or the archive.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from devstack import stack as stacks
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.world import Result, World

DIRECTORY = stacks.DIRECTORY / "chaos"
"""Apart from the stack of `make up`."""

COLUMNS = ("scenario", "events", "seconds", "events/s", "lag p50", "lag p99", "retried", "waiting", "dead", "result")


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the chosen scenarios, print a line for each, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="repeat for several; default: all")
    parser.add_argument("--seed", type=int, default=1, help="the same seed sends the same events")
    parser.add_argument("--list", action="store_true", help="print the scenarios and what must hold, and end")
    parser.add_argument("--down", action="store_true", help="end the stack of a run that was killed, and end")
    chosen = parser.parse_args(arguments)
    if chosen.list:
        for one in SCENARIOS.values():
            _print(f"{one.name:<26}{one.holds}")
        return 0
    results: list[Result] = []
    began = time.monotonic()
    stacks.down(DIRECTORY)  # of a run that was killed
    if chosen.down:
        return 0
    try:
        _print("Starting the stack ...")
        running = stacks.up(directory=DIRECTORY)
        world = World(running, DIRECTORY, chosen.seed)
        _print(_line(COLUMNS))
        for name in chosen.scenario or SCENARIOS:
            results.append(_played(world, name))
            _print(_line(_row(results[-1])))
            for difference in results[-1].differences:
                _print(f"  {difference}")
    except KeyboardInterrupt:
        _print("Interrupted.")
        return 130
    finally:
        stacks.down(DIRECTORY)
    wrong = [result for result in results if result.differences]
    total = sum(result.events for result in results)
    _print(
        f"{len(results)} scenarios, {total:,} events, {time.monotonic() - began:.0f} s: {len(wrong)} wrong. "
        "Lag in seconds from put to stored, of each user's last change; retried and waiting in messages."
    )
    for result in wrong:
        _print(f"Repeat: python -m tests.chaos --scenario {result.name} --seed {chosen.seed}")
    return 1 if wrong else 0


def _played(world: World, name: str) -> Result:
    try:
        return world.run(name, SCENARIOS[name].play)
    except Exception as error:  # noqa: BLE001 - the next scenarios are played all the same
        said = getattr(error, "stderr", None) or error
        return Result(name, seconds=1, differences=[f"it broke off: {type(error).__name__}: {said}"])


def _row(result: Result) -> tuple[str, ...]:
    return (
        result.name,
        f"{result.events:,}",
        f"{result.seconds:.0f}",
        f"{result.events / result.seconds:.0f}",
        f"{result.lag[0]:.1f}",
        f"{result.lag[1]:.1f}",
        f"{result.retried:,}",
        f"{result.deepest:,}",
        f"{result.dead:,}",
        "WRONG" if result.differences else "ok",
    )


def _line(cells: Sequence[str]) -> str:
    first, *rest = cells
    *numbers, last = rest
    return f"{first:<26}" + "".join(f"{cell:>9}" for cell in numbers) + f"  {last}"


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
