"""Run SQL of the Data API on a Postgres session: named parameters in, typed fields out.

Aurora User Guide, "Calling Amazon RDS Data API", "Troubleshooting Amazon RDS Data API issues"; RDS Data Service API
Reference: SqlParameter, Field, ColumnMetadata, ResultSetOptions. Parameters are typed, so that a string goes into a
column of another type only with a cast or a ``typeHint``, and a call is one statement.
"""

import base64
import json
import re
from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg import RawCursor
from psycopg.pq import ExecStatus
from psycopg.types.numeric import Float8, Int8
from psycopg.types.string import StrDumperVarchar

Data = dict[str, Any]

MAX_RESPONSE: Final = 1024 * 1024

_HINTS: Final = {"DATE": "date", "DECIMAL": "numeric", "JSON": "jsonb", "TIME": "time", "TIMESTAMP": "timestamp",
                 "UUID": "uuid"}  # fmt: skip

# Strings, names, comments and casts, which may hold a colon that marks no parameter; then the parameter.
_TOKEN: Final = re.compile(
    r"""
    (?P<kept> E'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
        | --[^\n]* | /\*.*?\*/ | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag) | :: )
    | :(?P<name>[A-Za-z_]\w*)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)

# Types of results: their field, JDBC's number of the type, and the parser of Postgres' text.
_TYPES: Final[dict[str, tuple[str, int, Callable[[str], Any]]]] = {
    "bool": ("booleanValue", -7, lambda text: text == "t"),
    "int2": ("longValue", 5, int),
    "int4": ("longValue", 4, int),
    "int8": ("longValue", -5, int),
    "oid": ("longValue", -5, int),
    "float4": ("doubleValue", 7, float),
    "float8": ("doubleValue", 8, float),
    "numeric": ("stringValue", 2, str),
    "bytea": ("blobValue", -2, lambda text: base64.b64encode(bytes.fromhex(text.removeprefix("\\x"))).decode()),
    "timestamptz": ("stringValue", 93, lambda text: text.removesuffix("+00")),
    "timestamp": ("stringValue", 93, str),
    "date": ("stringValue", 91, str),
    "time": ("stringValue", 92, str),
    **dict.fromkeys(("text", "varchar", "name"), ("stringValue", 12, str)),
    "bpchar": ("stringValue", 1, str),
    **dict.fromkeys(("json", "jsonb", "uuid"), ("stringValue", 1111, str)),
    "xml": ("stringValue", 2009, str),
}
_ARRAYS: Final = {
    "booleanValue": "booleanValues",
    "longValue": "longValues",
    "doubleValue": "doubleValues",
    "stringValue": "stringValues",
}


class RefusedError(Exception):
    """The Data API refuses the request; ``code`` is its error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def execute(connection: psycopg.Connection, request: Data) -> Data:
    """Run an ExecuteStatement request, and return its answer. Raises RefusedError and psycopg.Error."""
    cursor = _run(connection, request["sql"], request.get("parameters") or ())
    answer: Data = {"numberOfRecordsUpdated": _updated(cursor), "generatedFields": []}
    result = cursor.pgresult
    if result is not None and result.status == ExecStatus.TUPLES_OK:
        columns = [_column(connection, result, index) for index in range(result.nfields)]
        if request.get("formatRecordsAs") == "JSON":
            answer["formattedRecords"] = json.dumps(_objects(result, columns), separators=(",", ":"))
        else:
            answer["records"] = [
                [_field(result.get_value(row, index), column) for index, column in enumerate(columns)]
                for row in range(result.ntuples)
            ]
            if request.get("includeResultMetadata"):
                answer["columnMetadata"] = [column["metadata"] for column in columns]
    if len(json.dumps(answer)) > MAX_RESPONSE:
        raise RefusedError("DatabaseErrorException", "Database returned more than the allowed response size limit")
    return answer


def execute_batch(connection: psycopg.Connection, request: Data) -> Data:
    """Run a BatchExecuteStatement request: the statement once for each set of parameters, or not at all."""
    sets = request.get("parameterSets") or [[]]
    with connection.transaction():
        for parameters in sets:
            _run(connection, request["sql"], parameters)
    return {"updateResults": [{"generatedFields": []} for _ in sets]}


def _run(connection: psycopg.Connection, statement: str, parameters: Any) -> RawCursor[Any]:
    text, values = bind(statement, parameters)
    connection.adapters.register_dumper(str, StrDumperVarchar)
    cursor = RawCursor(connection)
    try:
        # Prepare it, which uses the protocol of single statements.
        cursor.execute(text.encode(), values, prepare=True)
    except psycopg.errors.SyntaxError as error:
        if "multiple commands" in str(error):
            raise RefusedError("ValidationException", "Multistatements aren't supported.") from error
        raise
    return cursor


def bind(statement: str, parameters: Any) -> tuple[str, list[Any]]:
    """Return the statement with ``$1`` for ``:name``, and the values in that order. Raises RefusedError."""
    given = {parameter["name"]: parameter for parameter in parameters}
    order: dict[str, int] = {}

    def place(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None or name not in given:
            return match[0]
        number = order.setdefault(name, len(order) + 1)
        hint = given[name].get("typeHint")
        return f"CAST(${number} AS {_HINTS[hint]})" if hint else f"${number}"

    if unknown := {p["typeHint"] for p in parameters if p.get("typeHint")} - _HINTS.keys():
        raise RefusedError("ValidationException", f"typeHint {sorted(unknown)[0]} is none of {sorted(_HINTS)}.")
    text = _TOKEN.sub(place, statement)
    return text, [_value(given[name]) for name in order]


def _value(parameter: Data) -> Any:
    value: Data = parameter.get("value") or {"isNull": True}
    match value:
        case {"isNull": True}:
            return None
        case {"stringValue": str(text)}:
            return text
        case {"longValue": int(number)}:
            return Int8(number)
        case {"doubleValue": number}:
            return Float8(number)
        case {"booleanValue": bool(truth)}:
            return truth
        case {"blobValue": str(encoded)}:
            return base64.b64decode(encoded)
        case _:
            raise RefusedError("ValidationException", f"Parameter {parameter['name']}: arrays are not supported.")


def _updated(cursor: RawCursor[Any]) -> int:
    reads = (cursor.statusmessage or "").split(" ")[0] in ("SELECT", "SHOW", "EXPLAIN")
    return 0 if reads else max(cursor.rowcount, 0)


# --- results ----------------------------------------------------------------------------------------------------


def _column(connection: psycopg.Connection, result: Any, index: int) -> Data:
    info = connection.adapters.types.get(result.ftype(index))
    array = info is not None and result.ftype(index) == info.array_oid
    known = _TYPES.get(info.name) if info else None
    if info is None or known is None:
        [(name,)] = connection.execute("SELECT %s::regtype::text", [result.ftype(index)]).fetchall()
        message = f"The result contains the unsupported data type {name}."
        raise RefusedError("UnsupportedResultException", message)
    field, number, read = known
    label = (result.fname(index) or b"").decode()
    metadata = {
        "arrayBaseColumnType": number if array else 0,
        "isAutoIncrement": False,
        "isCaseSensitive": field == "stringValue",
        "isCurrency": False,
        "isSigned": field in ("longValue", "doubleValue"),
        "label": label,
        "name": label,
        "nullable": 1,
        "precision": max(result.fsize(index), 0),
        "scale": 0,
        "schemaName": "",
        "tableName": "",
        "type": 2003 if array else number,
        "typeName": f"_{info.name}" if array else info.name,
    }
    return {"field": field, "read": read, "array": array, "metadata": metadata}


def _field(value: bytes | None, column: Data) -> Data:
    if value is None:
        return {"isNull": True}
    if column["array"]:
        return {"arrayValue": {_ARRAYS[column["field"]]: _array(value.decode(), column["read"])}}
    return {column["field"]: column["read"](value.decode())}


def _objects(result: Any, columns: list[Data]) -> list[Data]:
    """Return the rows as objects with JSON values."""
    objects = []
    for row in range(result.ntuples):
        fields = [_field(result.get_value(row, index), column) for index, column in enumerate(columns)]
        values = [None if "isNull" in field else next(iter(field.values())) for field in fields]
        objects.append({column["metadata"]["label"]: value for column, value in zip(columns, values, strict=True)})
    return objects


_ELEMENT: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|([^{},]+)')


def _array(text: str, read: Callable[[str], Any]) -> list[Any]:
    """Return the elements of a one-dimensional array from Postgres' text."""
    elements = []
    for match in _ELEMENT.finditer(text[1:-1]):
        quoted, plain = match.groups()
        if quoted is not None:
            elements.append(read(re.sub(r"\\(.)", r"\1", quoted)))
        else:
            elements.append(None if plain == "NULL" else read(plain))
    return elements
