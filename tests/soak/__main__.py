"""``python -m tests.soak``: many histories on an embedded Postgres; a failure names the seed that repeats it.

What is random comes from the seed; how the writers interleave does not, so a failure that needs a race may need a
few runs of its seed to come again.
"""

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from devstack import postgres
from pipeline.functions.migrate import migrate
from pipeline.functions.sync import CHUNK
from pipeline.settings import Database
from tests.soak.soak import Soak, WrongError, soak

PROGRESS_SECONDS = 15


def main() -> int:
    """Run the histories; 1 if any ended wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument("--seed", type=int, help="of the first history; the next ones count on (default: random)")
    arguments = parser.parse_args()
    seed = secrets.randbelow(2**32) if arguments.seed is None else arguments.seed
    _print(f"{arguments.histories:,} histories from seed {seed}")
    with tempfile.TemporaryDirectory(prefix="auth0-sync-soak-") as directory:
        server = postgres.start(Path(directory) / "postgres", durable=False)
        try:
            url = postgres.create_database(server.url, "soak")
            migrate(Database(url=url))
            with soak(url) as running:
                failed = _run(running, seed, arguments.histories)
        finally:
            postgres.stop(Path(directory) / "postgres", delete=True)
    return 1 if failed else 0


def _run(running: Soak, seed: int, histories: int) -> int:
    started = shown = time.monotonic()
    failed = 0
    for number in range(histories):
        try:
            chunk = 1 if (seed + number) % 2 else CHUNK
            running.check(Random(seed + number), f"{seed + number}.", chunk)
        except WrongError as error:
            failed += 1
            _print(f"WRONG: python -m tests.soak --histories 1 --seed {seed + number}\n  {error}")
        now = time.monotonic()
        if now - shown > PROGRESS_SECONDS:
            shown = now
            _print(f"{number + 1:>10,} histories, {(number + 1) / (now - started):.0f}/s, {failed} wrong")
    if not failed:
        running.check_total()
    _print(
        f"{histories:,} histories ({running.messages:,} deliveries of messages in {running.attempts:,} batches) "
        f"in {time.monotonic() - started:.0f} s: {failed} wrong"
    )
    return failed


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a program's output


if __name__ == "__main__":
    sys.exit(main())
