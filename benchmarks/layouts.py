"""Measure the costs and gains of fill factor, indexes and compression: the schema's table beside its variants."""

from typing import Any

from benchmarks.tables import Table, take_turns
from pipeline.functions.migrate import migrate
from pipeline.settings import Database
from pipeline.sinks import postgres

LAYOUTS: dict[str, tuple[str, ...]] = {
    "as_is": (),
    **{
        f"fillfactor_{share}": (f"ALTER TABLE {{table}} SET (fillfactor = {share})",) for share in (50, 70, 80, 90, 100)
    },
    "without_gin": ("DROP INDEX {table}_user_metadata_idx",),
    "without_since": ("DROP INDEX {table}_synced_at_updated_at_idx",),
    "btree_since": ("DROP INDEX {table}_synced_at_updated_at_idx", "CREATE INDEX ON {table} (synced_at)"),
    "without_email": ("DROP INDEX {table}_lower_idx",),
    "compressed": ("ALTER TABLE {table} RESET (toast_tuple_target)",),
}
_QUERIES = {
    "metadata_ms": """SELECT count(*) FROM {table} WHERE user_metadata @> '{{"plan": "no such plan"}}'""",
    "email_ms": "SELECT count(*) FROM {table} WHERE lower(email) = 'nobody@acme.example'",
    "since_ms": "SELECT user_id FROM {table} WHERE synced_at >= '{since}'",
}


def run(url: str, rounds: int, rows: int, limit: float, names: tuple[str, ...] = tuple(LAYOUTS)) -> dict[str, Any]:
    """Return the figures of each layout with ``rows`` users."""
    database = Database(url=url)
    migrate(database)
    with postgres.connect(database, options="-c timezone=UTC") as connection:
        tables = {name: Table(connection, name, rows, LAYOUTS[name]) for name in names}
        figures = take_turns(tables, rounds, limit)
        for name, table in tables.items():
            table.change_few()
            figures[name] |= {query: table.query_ms(text) for query, text in _QUERIES.items()}
            figures[name]["parts"] = table.parts()
    return figures
