"""Write parameters into SQL as literals, and check that a statement only reads.

Athena's own execution parameters are SQL expressions, too, so the caller has to quote them anyway; literals also work
in statements that do not support execution parameters.
"""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite

Parameter = str | int | float | Decimal | bool | date | None

# Skip strings, quoted names and comments: a "?" in them is no parameter.
_PIECE = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\r\n]*|/\*.*?\*/|\?", re.DOTALL)

_READING = ("SELECT", "WITH", "SHOW", "DESCRIBE", "EXPLAIN")
# EXPLAIN ANALYZE runs its statement.
_EXPLAIN = re.compile(r"EXPLAIN\b\s*(ANALYZE\b\s*)?(VERBOSE\b\s*)?(\([^)]*\))?", re.IGNORECASE)


def require_reading(sql: str) -> None:
    """Raise ValueError if the SQL is more than one statement, or its statement does more than read."""
    bare = _PIECE.sub(lambda found: found[0] if found[0] == "?" else " ", sql).strip()
    bare = bare.removesuffix(";")
    if ";" in bare:
        raise ValueError("it takes one statement at a time; there is a semicolon in this one")
    explained = _EXPLAIN.match(bare)
    word = re.match(r"[\s(]*(\w*)", bare[explained.end() :] if explained else bare)
    if word is None or word[1].upper() not in _READING:
        raise ValueError(f"it only reads: a statement begins with {', '.join(_READING[:-1])} or {_READING[-1]}")


def bind(sql: str, parameters: Sequence[Parameter]) -> str:
    """Put the parameters in the place of the `?` of the statement, in order.

    :raises ValueError: if there are more or fewer of them than `?`.
    """
    values = iter(parameters)
    used = 0

    def replace(found: re.Match[str]) -> str:
        nonlocal used
        if found[0] != "?":
            return found[0]
        used += 1
        return literal(next(values)) if used <= len(parameters) else "?"

    bound = _PIECE.sub(replace, sql)
    if used != len(parameters):
        raise ValueError(f"the statement has {used} parameters, but {len(parameters)} were given")
    return bound


def literal(value: Parameter) -> str:  # noqa: C901 - one case per type
    """Return the SQL literal of a value. Only quotes are doubled; backslashes have no meaning."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return str(value)
        case Decimal() | float() if not isfinite(value):
            raise ValueError(f"{value} has no literal in SQL")
        case Decimal():
            return f"DECIMAL '{value:f}'"
        case float():
            return f"DOUBLE '{value!r}'"
        case datetime():
            if value.tzinfo is None:
                raise ValueError("a time without a zone is ambiguous")
            return f"TIMESTAMP '{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}'"
        case date():
            return f"DATE '{value.isoformat()}'"
        case str():
            if "\0" in value:
                raise ValueError("text with a zero character cannot be in SQL")
            return "'" + value.replace("'", "''") + "'"
