"""Convert a result to the text that Athena returns, with the names of its column types."""

import math
from decimal import Decimal
from typing import Any

import duckdb

from devstack.emulator.athena.hive_types import quote

_TYPES = {
    "BOOLEAN": "boolean", "TINYINT": "tinyint", "SMALLINT": "smallint", "INTEGER": "integer", "BIGINT": "bigint",
    "HUGEINT": "bigint", "UBIGINT": "bigint", "UINTEGER": "bigint", "FLOAT": "float", "DOUBLE": "double",
    "DATE": "date", "TIME": "time", "BLOB": "varbinary", "JSON": "json",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "INTERVAL": "interval day to second", '"NULL"': "unknown",
}  # fmt: skip
_MILLISECONDS = "%Y-%m-%d %H:%M:%S.%g"
# Java writes a double outside these bounds with an exponent.
_PLAIN_DOUBLE = (1e-3, 1e7)


def athena_type(duckdb_type: str) -> str:
    """Return ``decimal``, ``array``, ``row`` … for a type as DuckDB's DESCRIBE prints it."""
    if duckdb_type.endswith("]"):
        return "array"
    head = duckdb_type.partition("(")[0]
    if head in ("STRUCT", "MAP", "DECIMAL"):
        return {"STRUCT": "row", "MAP": "map", "DECIMAL": "decimal"}[head]
    if head.startswith("TIMESTAMP") and head != "TIMESTAMP WITH TIME ZONE":
        return "timestamp"
    return _TYPES.get(duckdb_type, "varchar")


def fetch(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[list[str], list[str], list[list[str | None]]]:
    """Run a query; return the names and Athena types of its columns, and its rows as text (None for NULL)."""
    described = connection.execute(f"DESCRIBE {sql}").fetchall()
    types = [str(row[1]) for row in described]
    inner = [f"c{position}" for position in range(len(types))]
    outer = ", ".join(_as_text(name, kind) for name, kind in zip(inner, types, strict=True))
    statement = f"SELECT {outer} FROM ({sql}) AS result({', '.join(inner)})"  # noqa: S608 - an emulator of a query service
    rows = connection.execute(statement).fetchall()
    names = [_name(str(row[0]), position) for position, row in enumerate(described)]
    text = [[None if value is None else _text(value) for value in row] for row in rows]
    return names, [athena_type(kind) for kind in types], text


def _name(name: str, position: int) -> str:
    """Return a column name as Athena does: in lower case, and by position for an expression without a name."""
    return f"_col{position}" if name.startswith(UNNAMED) else name.lower()


# the alias of an expression without a name
UNNAMED = "_col?"


def _as_text(column: str, kind: str) -> str:
    name = quote(column)
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"strftime({name} AT TIME ZONE 'UTC', '{_MILLISECONDS}') || ' UTC'"
    if athena_type(kind) == "timestamp":
        return f"strftime(CAST({name} AS TIMESTAMP), '{_MILLISECONDS}')"
    if "TIMESTAMP WITH TIME ZONE" in kind or kind in ("INTERVAL", "TIME"):
        return f"CAST({name} AS VARCHAR)"
    return name


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _double(value)
    if isinstance(value, bytes):
        return value.hex(" ")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_nested, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_nested(item)}" for key, item in value.items()) + "}"
    return str(value)


def _nested(value: Any) -> str:
    return "null" if value is None else _text(value)


def _double(value: float) -> str:
    """Write a double as Java's Double.toString does."""
    if not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if value == 0 or _PLAIN_DOUBLE[0] <= abs(value) < _PLAIN_DOUBLE[1]:
        return repr(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    return f"{'-' if sign else ''}{text[0]}.{text[1:] or '0'}E{len(text) - 1 + int(exponent)}"
