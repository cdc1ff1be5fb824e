"""The archive in DuckDB: its tables over given events, and its views, in the emulator's translation of Athena's SQL."""

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from itertools import count
from typing import Any

import duckdb

from devstack.emulator.athena import dialect, hive_types
from devstack.emulator.athena.openx import LineReader
from pipeline.archive import questions
from pipeline.archive.literals import Parameter, bind

FOLDER = files("pipeline.archive")
CATALOG: dict[str, Any] = json.loads((FOLDER / "catalog.json").read_text("utf-8"))
VIEWS = {name: (FOLDER / "views" / f"{name}.sql").read_text("utf-8") for name in CATALOG["views"]}
DAY = "2026-01-15"

Row = dict[str, Any]

_numbers = count(1)


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """Return the database whose schemas the archives are: a database takes longer than most tests."""
    database = duckdb.connect(config={"threads": 1})  # quicker than two for a few rows
    for definition in dialect.macro_definitions():
        database.execute(definition)
    return database


class Archive:
    """An archive of events that all arrived at one hour."""

    def __init__(self, events: Iterable[dict[str, Any] | str], day: str = DAY) -> None:
        lines = [event if isinstance(event, str) else json.dumps(event, ensure_ascii=False) for event in events]
        self._database = _database().cursor()
        self._database.execute("SET TimeZone = 'Asia/Tokyo'")  # the answers must not depend on it
        self._database.execute("PRAGMA disable_optimizer")  # which takes longer than a few rows do without it
        schema = f"archive_{next(_numbers)}"
        self._database.execute(f"CREATE SCHEMA {schema}")
        self._database.execute(f"SET search_path = '{schema},main'")
        table = CATALOG["tables"]["logs"]
        columns = [(column["name"], hive_types.parse(column["type"])) for column in table["columns"]]
        reader = LineReader(columns, table["serde"]["parameters"])
        self._table("lines", ["line"], [[line] for line in lines], day)
        self._table("logs", [name for name, _ in columns], [list(reader.read(line).values()) for line in lines], day)
        self._views: set[str] = set()

    def rows(self, sql: str) -> list[Row]:
        """Return the rows that Athena's SQL gives."""
        self._make_views(sql)
        answer = self._database.execute(translate(sql))
        names = [column[0] for column in answer.description or []]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

    def ask(self, name: str, **parameters: Parameter) -> list[Row]:
        """Return the rows that a question gives, about all of 2026 unless `since` and `until` say otherwise."""
        question = questions.load(name)
        given: dict[str, Parameter] = {"since": "2026-01-01", **parameters}
        return self.rows(bind(question.sql, question.values(given)))

    def describe(self, relation: str) -> dict[str, str]:
        """Return the DuckDB types of a table's or view's columns, by name."""
        self._make_views(relation)
        return {row[0]: row[1] for row in self._database.execute(f"DESCRIBE {relation}").fetchall()}

    def _make_views(self, sql: str) -> None:
        """Make the views that a statement names, each once: making one takes longer than most tests."""
        for name, definition in VIEWS.items():
            if name in sql and name not in self._views:
                self._views.add(name)
                self._make_views(definition)
                self._database.execute(f"CREATE TABLE {name} AS {translate(definition)}")

    def _table(self, name: str, columns: list[str], rows: list[list[Any]], day: str) -> None:
        declared = ", ".join(f'"{column}" VARCHAR' for column in columns)
        self._database.execute(f"CREATE TABLE {name} ({declared}, dt VARCHAR, hour VARCHAR)")
        if rows:
            marks = ", ".join("?" for _ in range(len(columns) + 2))
            self._database.executemany(f"INSERT INTO {name} VALUES ({marks})", [[*row, day, "09"] for row in rows])


@cache
def translate(sql: str) -> str:
    """Athena's SQL as DuckDB's."""
    return dialect.to_duckdb(dialect.parse_query(sql))
