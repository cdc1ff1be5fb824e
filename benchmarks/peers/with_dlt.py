"""dlt's merge into Postgres.

Arrow tables are its documentation's advice for speed, as dlt does not look into their rows; COPY loads them as CSV.
Python objects are what its sources usually yield; dlt's default, INSERT statements, loads them. Parquet by ADBC would
be no choice: its JSON columns are ``json``, for which there is no index.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import dlt
import pyarrow
from msgspec.json import Decoder

from benchmarks.peers.contestants import Write
from benchmarks.peers.reading import COLUMNS, TYPES, Order, Row, newest, rows
from benchmarks.records import Records

Strategy = Literal["delete-insert", "upsert"]

_DLT = {"text": "text", "boolean": "bool", "bigint": "bigint", "timestamptz": "timestamp", "jsonb": "json"}
_ARROW = {"boolean": pyarrow.bool_(), "bigint": pyarrow.int64()}
_decode = Decoder().decode
_TIME = pyarrow.timestamp("us", tz="UTC")

_NEWER = (
    "NOT EXISTS (SELECT FROM (SELECT user_id AS stored_id, {order} AS stored_place FROM auth0.user_rows) AS stored "
    "WHERE stored_id = user_id AND stored_place >= {order})"
)
"""A condition on the loaded rows; the subquery renames the table's columns, so the plain names mean the loaded ones."""


@contextmanager
def dlt_merge(
    url: str, order: Order, strategy: Strategy = "delete-insert", *, guarded: bool = False, objects: bool = False
) -> Iterator[Write]:
    """Merge by ``user_id``; ``guarded`` leaves out the rows that are no newer than the ones there.

    ``delete-insert`` finds the newest row of a batch itself, by ``dedup_sort``; ``upsert`` wants one row a user.
    """
    columns: dict[str, Any] = {name: {"data_type": _DLT[kind]} for name, kind in TYPES.items()}
    columns[order]["dedup_sort"] = "desc"
    disposition: dict[str, str] = {"disposition": "merge", "strategy": strategy}
    if guarded:
        disposition["source_filter"] = _NEWER.format(order=order)
    with tempfile.TemporaryDirectory(prefix="auth0-sync-dlt-") as directory:
        pipeline = dlt.pipeline("peers", directory, destination=_postgres(url), dataset_name="auth0")

        def write(records: Records) -> None:
            found = newest(rows(records), order) if strategy == "upsert" else rows(records)
            resource = dlt.resource(
                _objects(found) if objects else [_arrow(found)],
                name="user_rows",
                primary_key="user_id",
                columns=columns,
                write_disposition=disposition,
            )
            pipeline.run(resource, loader_file_format=None if objects else "csv")

        yield write


def _objects(found: list[Row]) -> list[dict[str, Any]]:
    return [
        {name: _decode(value) if TYPES[name] == "jsonb" else value for name, value in zip(COLUMNS, row, strict=True)}
        for row in found
    ]


def _arrow(found: list[Row]) -> pyarrow.Table:
    return pyarrow.table(
        {name: _column(values, TYPES[name]) for name, values in zip(COLUMNS, zip(*found, strict=True), strict=True)}
    )


def _column(values: tuple[Any, ...], kind: str) -> pyarrow.Array:
    if kind == "timestamptz":
        return pyarrow.array(values, pyarrow.string()).cast(_TIME)
    return pyarrow.array(values, _ARROW.get(kind, pyarrow.string()))


def _postgres(url: str) -> Any:
    """Return the destination; dlt wants a password, for which the embedded server does not ask."""
    return dlt.destinations.postgres(url.replace("@", ":none@"))
