"""Measure the upsert as the table grows: changes of random users among more and more."""

from typing import Any

from benchmarks.tables import Table, take_turns
from pipeline.functions.migrate import migrate
from pipeline.settings import Database
from pipeline.sinks import postgres

SMALL = 10_000
SIZES = (SMALL, 20_000, 1_000_000, 10_000_000)


def run(url: str, rounds: int, rows: int, limit: float) -> dict[str, Any]:
    """Return the upsert's figures by rows in the table, up to ``rows``, and its rate relative to the smallest one."""
    database = Database(url=url)
    migrate(database)
    with postgres.connect(database, options="-c timezone=UTC") as connection:
        tables = {str(size): Table(connection, f"users_{size}", size) for size in SIZES if size <= rows}
        for table in tables.values():
            table.read_whole()
        figures = take_turns(tables, rounds, limit)
        for name, found in figures.items():
            found["of_small"] = round(found["rows_per_second"] / figures[str(SMALL)]["rows_per_second"], 2)
            found["parts"] = tables[name].parts()
        return figures
