"""Ask Athena a question and get typed rows back."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipeline.archive.literals import Parameter, bind
from pipeline.errors import Auth0SyncError
from pipeline.query import Result, TimedOut

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient
    from mypy_boto3_athena.type_defs import ColumnInfoTypeDef, GetQueryExecutionOutputTypeDef, RowTypeDef

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 2.0  # seconds


class QueryFailed(Auth0SyncError):
    """Athena could not answer the query."""


class QueryTimedOut(TimedOut):
    """Athena did not answer in time, so the query was cancelled. Ask about fewer days, or allow more time."""


def query(
    client: AthenaClient,
    sql: str,
    *,
    database: str,
    workgroup: str,
    parameters: Sequence[Parameter] = (),
    timeout: float = 60,
) -> Result:
    """Run one statement and wait for its answer. Times are in UTC; arrays, maps and rows stay Athena's text.

    :param sql: Athena SQL; each `?` outside quotes and comments stands for the next of `parameters`.
    :param workgroup: must have a place for results.
    :param timeout: seconds. The query is cancelled when they are over, and also when you interrupt the wait.
    :raises QueryFailed: with Athena's own reason.
    :raises QueryTimedOut: if no answer came in time.
    """
    query_id = client.start_query_execution(
        QueryString=bind(sql, parameters),
        QueryExecutionContext={"Database": database},
        WorkGroup=workgroup,
    )["QueryExecutionId"]
    try:
        execution = _wait(client, query_id, timeout)
    except QueryFailed:
        raise
    except BaseException:  # interrupts included: AWS bills a query that goes on
        with suppress(Exception):
            client.stop_query_execution(QueryExecutionId=query_id)
        raise
    columns, rows = _fetch(client, query_id)
    scanned = execution["QueryExecution"].get("Statistics", {}).get("DataScannedInBytes", 0)
    return Result(columns, rows, scanned_bytes=scanned, query_id=query_id)


def _wait(client: AthenaClient, query_id: str, timeout: float) -> GetQueryExecutionOutputTypeDef:
    deadline, wait = time.monotonic() + timeout, _FIRST_WAIT
    while True:
        execution = client.get_query_execution(QueryExecutionId=query_id)
        status = execution["QueryExecution"].get("Status", {})
        state = status.get("State")
        if state == "SUCCEEDED":
            return execution
        if state in ("FAILED", "CANCELLED"):
            reason = status.get("StateChangeReason") or status.get("AthenaError", {}).get("ErrorMessage")
            raise QueryFailed(f"{reason or 'no reason given'}; query {query_id} {str(state).lower()}")
        left = deadline - time.monotonic()
        if left <= 0:
            raise QueryTimedOut(f"{timeout:g} seconds; query {query_id}")
        time.sleep(min(wait, left))
        wait = min(wait * 1.5, _LONGEST_WAIT)


def _fetch(client: AthenaClient, query_id: str) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    columns: list[ColumnInfoTypeDef] = []
    rows: list[tuple[Any, ...]] = []
    for number, page in enumerate(client.get_paginator("get_query_results").paginate(QueryExecutionId=query_id)):
        results = page["ResultSet"]
        columns = results.get("ResultSetMetadata", {}).get("ColumnInfo", [])
        found = results.get("Rows", [])
        # The first row of a SELECT repeats the column names; statements such as SHOW have no such row.
        if number == 0 and found and _texts(found[0]) == [column["Name"] for column in columns]:
            found = found[1:]
        types = [column["Type"] for column in columns]
        rows += [tuple(map(_value, types, _texts(row))) for row in found]
    return tuple(column["Name"] for column in columns), rows


def _texts(row: RowTypeDef) -> list[str | None]:
    return [datum.get("VarCharValue") for datum in row.get("Data", [])]


def _value(kind: str, text: str | None) -> Any:
    if text is None:
        return None
    with suppress(ValueError, ArithmeticError, RecursionError):  # such as the year 20000: beyond Python's dates
        match kind:
            case "tinyint" | "smallint" | "integer" | "int" | "bigint":
                return int(text)
            case "double" | "float" | "real":
                return float(text)
            case "decimal":
                return Decimal(text)
            case "boolean":
                return text == "true"
            case "date":
                return date.fromisoformat(text)
            case "json":
                return json.loads(text)
            case "timestamp" | "timestamp with time zone":
                return _utc(text)
    return text


def _utc(text: str) -> datetime | str:
    """Parse a time. Without a zone it is in UTC, as the whole archive is; a named zone other than UTC stays text."""
    with suppress(ValueError):
        parsed = datetime.fromisoformat(text.removesuffix(" UTC"))
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    return text
