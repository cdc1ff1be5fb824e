"""Read a line of an object into the columns of its table, as Athena's OpenX JSON SerDe does.

AWS (Athena User Guide, "OpenX JSON SerDe") names the parameters; the conversions are those that Trino, on which
Athena's engine is built, documents beside its reader (lib/trino-hive-formats, "OpenX JSON format"): a text column takes
any JSON value, objects and arrays as JSON text; a value that does not fit a number, date or timestamp is NULL; an
object or array in such a column fails the query; a missing key is NULL; a line that is not an object is a row of NULLs.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, DecimalException
from typing import Any

from devstack.emulator.athena.errors import QueryError
from devstack.emulator.athena.hive_types import HiveType

Decoder = Callable[[Any], Any]

_INTEGERS = {"tinyint": 8, "smallint": 16, "int": 32, "integer": 32, "bigint": 64}
_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(?: .*)?")
_TIMESTAMP = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2})(\.\d+)?(Z|[+-]\d{2}:?\d{2})?")
# Number of digits from which a numeric timestamp is in milliseconds and not seconds.
_MILLISECOND_DIGITS = 13
_HTML_CLOSING_TAG = "</"


class _Number(str):
    """A JSON number or constant, as it was written."""

    __slots__ = ()


class LineReader:
    """A reader of one table's lines into JSON documents whose keys are its columns, ready for DuckDB's types."""

    def __init__(self, columns: list[tuple[str, HiveType]], parameters: dict[str, str]) -> None:
        self._ignore_malformed = _is_true(parameters.get("ignore.malformed.json"))
        self._case_insensitive = _is_true(parameters.get("case.insensitive", "true"))
        self._dots = _is_true(parameters.get("dots.in.keys"))
        self._mapping = {
            name.removeprefix("mapping.").lower(): self._fold(key)
            for name, key in parameters.items()
            if name.startswith("mapping.")
        }
        self._decode = self._struct(HiveType("struct", fields=tuple(columns)))
        self._nothing = dict.fromkeys(name for name, _ in columns)
        self._json = json.JSONDecoder(parse_float=_Number, parse_int=_Number, parse_constant=_Number)

    def read(self, line: str) -> dict[str, Any]:
        """Return the row of one line. Raises ``QueryError`` for a malformed one if the table's parameters say so."""
        line = line.strip()
        if not line.startswith(("{", "[")):
            return self._nothing
        try:
            document, _ = self._json.raw_decode(line)
        except (ValueError, RecursionError) as problem:
            if self._ignore_malformed:
                return self._nothing
            raise QueryError(f"HIVE_BAD_DATA: Error parsing JSON line: {problem}") from problem
        row: dict[str, Any] = self._decode(document)
        return row

    def _fold(self, key: str) -> str:
        return key.lower() if self._case_insensitive else key

    def _decoder(self, kind: HiveType) -> Decoder:
        if kind.name == "struct":
            decode = self._struct(kind)
        elif kind.name == "array":
            decode = self._array(kind)
        elif kind.name == "map":
            decode = self._map(kind)
        else:
            decode = _primitive(kind)
        return lambda value: None if value is None else decode(value)

    def _struct(self, kind: HiveType) -> Decoder:
        mapped = self._mapping
        fields = [(name, mapped.get(name, self._fold(name)), self._decoder(field)) for name, field in kind.fields]

        def decode(value: Any) -> Any:
            if isinstance(value, list):
                values = [*value, *[None] * len(fields)]
                return {name: read(values[position]) for position, (name, _, read) in enumerate(fields)}
            if isinstance(value, str) and not value.strip():
                value = {}
            if not isinstance(value, dict):
                raise _not_coercible(value, kind)
            keyed = {self._fold(key): item for key, item in value.items()}
            if self._dots:
                keyed = {key.replace(".", "_"): item for key, item in keyed.items()} | keyed
            return {name: read(keyed.get(key)) for name, key, read in fields}

        return decode

    def _array(self, kind: HiveType) -> Decoder:
        element = self._decoder(kind.arguments[0])

        def decode(value: Any) -> Any:
            if isinstance(value, list):
                return [element(item) for item in value]
            return None if value == "" else [element(value)]

        return decode

    def _map(self, kind: HiveType) -> Decoder:
        item = self._decoder(kind.arguments[1])

        def decode(value: Any) -> Any:
            if isinstance(value, str) and not value.strip():
                return None
            if not isinstance(value, dict):
                raise _not_coercible(value, kind)
            return {key: item(entry) for key, entry in value.items()}

        return decode


def json_text(value: Any) -> str:
    """Return a JSON value without white space; numbers as Java's BigDecimal writes them, text unescaped."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quoted(key)}:{json_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(json_text, value)) + "]"
    if isinstance(value, _Number):
        return _canonical(value)
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace(_HTML_CLOSING_TAG, "<\\/")


def _canonical(number: str) -> str:
    try:
        return str(Decimal(number))
    except DecimalException:
        return str(number)


def _primitive(kind: HiveType) -> Decoder:
    if kind.name in ("string", "varchar", "char"):
        return _text
    if kind.name == "boolean":
        return lambda value: value is True or (isinstance(value, str) and value.lower() == "true")
    convert: dict[str, Decoder] = {
        "decimal": lambda value: _decimal(value, kind.precision),
        "float": _double,
        "double": _double,
        "date": lambda value: match[1] if (match := _DATE.fullmatch(value)) else None,
        "timestamp": _timestamp,
    }
    decode = convert.get(kind.name) or (lambda value: _integer(value, _INTEGERS[kind.name]))

    def checked(value: Any) -> Any:
        if isinstance(value, dict | list):
            raise _not_coercible(value, kind)
        try:
            return decode(json.dumps(value) if isinstance(value, bool) else value)
        except (ValueError, ArithmeticError):
            return None

    return checked


def _text(value: Any) -> str:
    if isinstance(value, str) and not isinstance(value, _Number):
        return value
    return json_text(value)


def _integer(value: str, bits: int) -> int | None:
    number = Decimal(value)
    if number.adjusted() > 20 or number != number.to_integral_value():
        return None
    return int(number) if -(1 << bits - 1) <= number < 1 << bits - 1 else None


def _decimal(value: str, precision: tuple[int, int]) -> str | None:
    number = Decimal(value)
    if number.adjusted() >= precision[0] - precision[1]:
        return None
    return str(number.quantize(Decimal(1).scaleb(-precision[1]), ROUND_HALF_UP))


def _double(value: str) -> str:
    return repr(float(value))  # text, as JSON has no infinity


def _timestamp(value: str) -> str | None:
    match = _TIMESTAMP.fullmatch(value)
    if match:
        day, clock, fraction, zone = match.groups()
        moment = datetime.fromisoformat(f"{day}T{clock}{(fraction or '')[:7]}{zone or '+00:00'}")
    else:
        number = Decimal(value)
        milliseconds = "." not in value and len(value) >= _MILLISECOND_DIGITS
        moment = datetime.fromtimestamp(float(number / 1000 if milliseconds else number), UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _is_true(text: str | None) -> bool:
    return (text or "").lower() == "true"


def _not_coercible(value: Any, kind: HiveType) -> QueryError:
    found = "an object" if isinstance(value, dict) else "an array" if isinstance(value, list) else "a value"
    return QueryError(f"HIVE_BAD_DATA: {found} can not be coerced to a {kind.name.upper()}")
