"""Play scenarios on a stack of their own: real Terraform, emulator, functions and Postgres, on loopback.

The seed decides what is sent; how the parts interleave is up to the machine. Exit code 1 if anything was lost, wrong
or doubled in a store, a dead-letter queue or the archive.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from devstack import StackError
from devstack import stack as stacks
from devstack.trouble import INTERRUPTED
from pipeline.locks import exclusive
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.world import Result, World

DIRECTORY = stacks.DIRECTORY / "chaos"
"""Apart from the stack of `make up`."""

COLUMNS = (
    "scenario",
    "events",
    "seconds",
    "events/s",
    "lag p50",
    "lag p99",
    "retried",
    "waiting",
    "dead",
    "MB",
    "result",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the chosen scenarios, print a line for each, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="repeat for several; default: all")
    parser.add_argument("--seed", type=int, default=1, help="the same seed sends the same events")
    parser.add_argument("--size", type=float, default=1, help="part of each scenario's events to send, such as 0.2")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="of the stack; another for a run beside one")
    parser.add_argument("--list", action="store_true", help="print the scenarios and what must hold, and end")
    parser.add_argument("--down", action="store_true", help="end the stack of a run that was killed, and end")
    chosen = parser.parse_args(arguments)
    if chosen.list:
        for one in SCENARIOS.values():
            _print(f"{one.name:<26}{one.holds}")
        return 0
    directory: Path = chosen.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with exclusive(directory / "run.lock", StackError(f"Another run has its stack in {directory}: see --directory")):
        stacks.down(directory)  # of a run that was killed
        if chosen.down:
            return 0
        try:
            results = _play(directory, chosen.scenario or list(SCENARIOS), chosen.seed, chosen.size)
        except KeyboardInterrupt:
            _print("Interrupted.")
            return INTERRUPTED
        finally:
            stacks.down(directory)
    wrong = [result for result in results if result.differences]
    total = sum(result.events for result in results)
    _print(
        f"{len(results)} scenarios, {total:,} events, {time.monotonic() - began:.0f} s: {len(wrong)} wrong. "
        "Lag in seconds from put to stored, of each user's last change; retried and waiting in messages; MB is the "
        "largest process of the functions for DynamoDB and Postgres."
    )
    for result in wrong:
        _print(f"Repeat: python -m tests.chaos --scenario {result.name} --seed {chosen.seed} --size {chosen.size:g}")
    return 1 if wrong else 0


def _play(directory: Path, names: Sequence[str], seed: int, size: float) -> list[Result]:
    """Start the stack, play the scenarios, and print a line for each."""
    _print("Starting the stack ...")
    world = World(stacks.up(directory=directory), directory, seed, size)
    _print(_line(COLUMNS))
    results = []
    for name in names:
        result = _played(world, name)
        results.append(result)
        _print(_line(_row(result)))
        for difference in result.differences:
            _print(f"  {difference}")
    return results


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
        "/".join(f"{megabytes:.0f}" for megabytes in result.megabytes.values()),
        "WRONG" if result.differences else "ok",
    )


def _line(cells: Sequence[str]) -> str:
    first, *rest = cells
    *numbers, last = rest
    return f"{first:<26}" + "".join(f"{cell:>9}" for cell in numbers) + f"  {last}"


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a program's output


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StackError as problem:
        sys.exit(str(problem))
