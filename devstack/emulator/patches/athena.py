"""Athena's queries over the tables and views of Glue.

AWS (Athena User Guide, "OpenX JSON SerDe", "Use partition projection with Amazon Athena", "Work with views",
"Use parameterized queries", "Work with query results and recent queries"): SQL of Trino over the columns that the
table declares; partitions by projection; views; ExecutionParameters; results as text typed by their columns, also
as a CSV object at the OutputLocation with every value in quotes; DataScannedInBytes of the objects read.

MiniStack: DuckDB's SQL, columns guessed from the data, partitions only as ``key=value`` folders that it always reads,
no views, no ExecutionParameters, a made-up DataScannedInBytes, and results one level below the OutputLocation.

The engine is ``devstack.emulator.athena``. Tables of other kinds than OpenX JSON and whole lines of text stay
with MiniStack.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import asyncio
import contextvars
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlparse

from ministack.services import athena, glue, s3
from sqlglot import exp

from devstack.emulator import patching
from devstack.emulator.athena import dialect, engine
from devstack.emulator.athena.errors import QueryError

log = logging.getLogger("athena")

_original: dict[str, Any] = {}
_parameters: contextvars.ContextVar[list[str]] = contextvars.ContextVar("athena_parameters", default=[])  # noqa: B039 - never changed
_scanned: contextvars.ContextVar[int] = contextvars.ContextVar("athena_scanned", default=0)


def apply() -> None:
    """Replace the start of a query, its execution and the writing of its results."""
    patching.require(athena, "_executions", "_data_format")
    patching.require(glue, "_tables")
    patching.require(s3, "_buckets", "_get_object_data", "_put_object")
    for name, new in (
        ("_start_query_execution", start_query_execution),
        ("_run_duckdb", run_duckdb),
        ("_save_query_results", save_query_results),
    ):
        _original[name] = patching.replace(athena, name, new)


class EmulatedCatalog:
    """Glue and S3 as the request's account and region see them."""

    def table(self, database: str, name: str) -> dict[str, Any] | None:
        """Return a table of the Glue Data Catalog."""
        table: dict[str, Any] | None = glue._tables.get(f"{database}/{name}")
        return table

    def objects(self, location: str) -> Iterator[tuple[str, bytes]]:
        """Yield the objects below a location, without names that start with ``_`` or ``.``, as Athena does."""
        place = urlparse(location)
        bucket, prefix = place.netloc, place.path.lstrip("/")
        if bucket not in s3._buckets:
            raise QueryError(f"HIVE_METASTORE_ERROR: The specified bucket does not exist: {bucket}")
        for key in sorted(s3._buckets[bucket]["objects"]):
            parts = key.removeprefix(prefix).split("/")
            if key.startswith(prefix) and not key.endswith("/") and not any(p.startswith(("_", ".")) for p in parts):
                content = s3._get_object_data(bucket, key)
                if content is not None:
                    yield key, content


def start_query_execution(data: dict[str, Any]) -> Any:
    """StartQueryExecution, which hands ExecutionParameters to the execution that it starts."""
    token = _parameters.set(list(data.get("ExecutionParameters") or []))
    try:
        return _original["_start_query_execution"](data)
    finally:
        _parameters.reset(token)


async def run_duckdb(query: str, database: str, catalog: Any = None) -> dict[str, Any]:
    """Run a query; return its columns, their Athena types, and rows of text."""
    if _is_ministacks(query, database, catalog):
        answer: dict[str, Any] = await _original["_run_duckdb"](query, database, catalog)
        return answer
    result = await asyncio.to_thread(engine.run, query, database, EmulatedCatalog(), _parameters.get())
    _scanned.set(result.scanned)
    return {"columns": result.columns, "column_types": result.types, "rows": result.rows}


async def save_query_results(query_id: str) -> None:
    """Write the result's CSV to the OutputLocation, and the true DataScannedInBytes."""
    execution = athena._executions[query_id]
    execution["Statistics"]["DataScannedInBytes"] = _scanned.get()
    if _parameters.get():
        execution["ExecutionParameters"] = _parameters.get()
    location = execution["ResultConfiguration"]["OutputLocation"].removesuffix(f"{query_id}.csv").rstrip("/")
    location = f"{location}/{query_id}.csv"
    execution["ResultConfiguration"]["OutputLocation"] = location
    place = urlparse(location)
    status, _, body = s3._put_object(
        place.netloc, place.path.lstrip("/"), _csv(execution["_results"]), {"content-type": "application/octet-stream"}
    )
    if status >= 300:
        raise QueryError(f"Unable to verify/create output bucket {place.netloc}: {body.decode(errors='replace')}")


def _csv(results: dict[str, Any]) -> bytes:
    """Write CSV: every value in quotes, and nothing for NULL."""
    lines = [results["columns"], *results["rows"]]
    quoted = (",".join("" if v is None else '"' + str(v).replace('"', '""') + '"' for v in line) for line in lines)
    return "".join(f"{line}\n" for line in quoted).encode()


def _is_ministacks(query: str, database: str, catalog: Any) -> bool:
    """Return whether the query is over tables of other kinds, which MiniStack reads."""
    if (catalog or "AwsDataCatalog").lower() != "awsdatacatalog":
        return True
    try:
        names = [(node.db or database, node.name) for node in dialect.parse_query(query).find_all(exp.Table)]
    except QueryError:
        return False  # the engine reports the error
    tables = [table for db, name in names if (table := glue._tables.get(f"{db}/{name}".lower())) is not None]
    return bool(tables) and not any(table.get("TableType") == "VIRTUAL_VIEW" or engine.reads(table) for table in tables)
