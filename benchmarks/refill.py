"""Measure the steps of docs/database.md that change a filled table: the time of each, and the wait of the sync."""

import re
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.tables import USERS, Table
from pipeline.functions.migrate import migrate
from pipeline.settings import Database
from pipeline.sinks import postgres
from tests.threads import meanwhile

PAGE = Path(__file__).parents[1] / "docs/database.md"
ALONE = 20
"""Batches that are written before the first step, for comparison."""


def steps() -> list[str]:
    """Return the statements of the page, in order; those of its migration first."""
    recipe = PAGE.read_text("utf-8").partition("## Change a filled table")[2].partition("\n## ")[0]
    migration = recipe.partition("def upgrade")[2].partition("def downgrade")[0]
    found = [
        single or several for single, several in re.findall(r'execute\((?:"([^"]+)"|"""(.*?)""")\)', migration, re.S)
    ]
    for block in re.findall(r"```sql fill\n(.*?)```", recipe, re.S):
        found += re.split(r";\n\n", block.strip().removesuffix(";"))
    return [statement.strip().replace("'region'", "'plan'") for statement in found]


def run(url: str, rows: int) -> dict[str, Any]:
    """Return the seconds of each step, and the longest batch of 1,000 changes that was written beside it."""
    database = Database(url=url)
    migrate(database)
    options = "-c timezone=UTC"
    with postgres.connect(database, options=options) as sync, postgres.connect(database, options=options) as owner:
        table = Table(sync, "filled", rows)
        for _ in range(ALONE):
            table.change(timed=True)
        figures: dict[str, Any] = {"rows": rows, "batch_ms_alone": _milliseconds(statistics.median(table.seconds))}
        before = table.size()
        for step in steps():
            with _writing(table):
                start = time.perf_counter()
                owner.execute(step.replace(USERS, "auth0.filled"))
                taken = time.perf_counter() - start
            figures[" ".join(step.split()[:5])] = {
                "seconds": round(taken, 2),
                "batch_ms": _milliseconds(statistics.median(table.seconds)),
                "longest_batch_ms": _milliseconds(max(table.seconds)),
            }
        figures["grown"] = round(table.size() / before, 2)
        return figures


@contextmanager
def _writing(table: Table) -> Iterator[None]:
    """Write batch after batch meanwhile, two at least."""
    table.seconds.clear()

    def write(done: threading.Event) -> None:
        while not done.is_set() or len(table.seconds) < 2:
            table.change(timed=True)

    with meanwhile(write):
        yield


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
