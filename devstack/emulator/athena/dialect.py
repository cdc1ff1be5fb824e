"""Translate Trino's SQL to DuckDB's with sqlglot, and correct differences in meaning.

AWS (Athena User Guide, "Functions in Amazon Athena") refers to Trino's documentation of functions. Functions listed in
``MACROS`` keep Trino's meaning where DuckDB's function of that name, or sqlglot's translation, has another one.

Known differences that stay: a zoned timestamp has no zone of its own, so ``AT TIME ZONE`` and ``at_timezone`` give the
local time; DuckDB accepts some implicit casts that Trino refuses (comparisons of the table's own text columns with
numbers, dates and timestamps are refused here as well).
"""

import re
from collections.abc import Iterator

from sqlglot import Token, TokenType, exp, parse
from sqlglot.dialects.trino import Trino
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types

from devstack.emulator.athena.errors import QueryError

# Each becomes a DuckDB macro trino_<name>: overloads of (parameters, body).
MACROS: dict[str, tuple[tuple[str, str], ...]] = {
    # NULL for text that is no JSON, and for an object or an array.
    "json_extract_scalar": (
        (
            "j, p",
            """CASE WHEN json_valid(j) AND json_type(j::JSON, p) NOT IN ('OBJECT', 'ARRAY', 'NULL')
               THEN json_extract_string(j::JSON, p) END""",
        ),
    ),
    "json_extract": (("j, p", "CASE WHEN json_valid(j) THEN json_extract(j::JSON, p) END"),),
    "json_parse": (("s", "CAST(s AS JSON)"),),
    "json_format": (("j", "CAST(json(j) AS VARCHAR)"),),
    "json_array_length": (("j", "CASE WHEN json_type(j::JSON) = 'ARRAY' THEN json_array_length(j::JSON)::BIGINT END"),),
    "json_array_contains": (("j, v", "list_contains(CAST(j::JSON AS JSON[]), to_json(v))"),),
    "json_size": (
        (
            "j, p",
            """CASE json_type(j::JSON, p) WHEN 'ARRAY' THEN json_array_length(j::JSON, p)::BIGINT
               WHEN 'OBJECT' THEN len(json_keys(j::JSON, p)) ELSE 0 END""",
        ),
    ),
    # CAST(<json> AS varchar): the text of a JSON string, not its quoted form.
    "json_to_varchar": (("j", "CASE json_type(j) WHEN 'NULL' THEN NULL ELSE json_extract_string(j, '$') END"),),
    "from_iso8601_timestamp": (("s", "CAST(s AS TIMESTAMPTZ)"),),
    "from_iso8601_date": (("s", "CAST(s AS DATE)"),),
    "to_iso8601": (("t", "strftime(CAST(t AS TIMESTAMPTZ) AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ')"),),
    "at_timezone": (("t, zone", "timezone(zone, CAST(t AS TIMESTAMPTZ))"),),
    # Completed units; DuckDB's date_diff counts the boundaries between the two.
    "date_diff": (("unit, a, b", "date_sub(unit, CAST(a AS TIMESTAMPTZ), CAST(b AS TIMESTAMPTZ))"),),
    # NULL, not '', without a match.
    "regexp_extract": (
        ("s, p", "CASE WHEN regexp_matches(s, p) THEN regexp_extract(s, p) END"),
        ("s, p, g", "CASE WHEN regexp_matches(s, p) THEN regexp_extract(s, p, g) END"),
    ),
    # Groups are $1 in Trino, \1 in DuckDB.
    "regexp_replace": (
        ("s, p", "regexp_replace(s, p, '', 'g')"),
        ("s, p, r", r"regexp_replace(s, p, regexp_replace(r, '\$(\d+)', '\\\1', 'g'), 'g')"),
    ),
    "url_decode": (("s", "url_decode(replace(s, '+', ' '))"),),
    "url_extract_path": (("u", r"regexp_extract(u, '^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*([^?#]*)', 1)"),),
    "url_extract_host": (("u", r"regexp_extract(u, '^[a-zA-Z][a-zA-Z0-9+.-]*://([^/?#:]*)', 1)"),),
    "bool_and": (("b", "bool_and(b)"),),
    # Keeps the first of equal elements in place; DuckDB's list_distinct gives any order.
    "array_distinct": (("l", "list_filter(l, lambda x, i: list_position(l, x) IS NOT DISTINCT FROM i)"),),
    "bool_or": (("b", "bool_or(b)"),),
}

_JSON_FUNCTIONS = ("json_extract", "json_parse")
_PATH_KEY = r"""\[\s*["']([^"']*)["']\s*\]"""
_WHOLE_DAYS = ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR")
_TEMPORAL = ("DATE", "TIMESTAMP", "TIMESTAMPTZ")


class _Athena(Trino):
    """Trino's dialect, without translation of the functions in ``MACROS``."""

    class Parser(Trino.Parser):  # type: ignore[misc, valid-type]  # set by the metaclass of dialects
        FUNCTIONS = {name: build for name, build in Trino.Parser.FUNCTIONS.items() if name.lower() not in MACROS}  # noqa: RUF012 - sqlglot's own form


def parse_query(sql: str) -> exp.Query:
    """Parse one SELECT, WITH, VALUES or set operation. Raises ``QueryError`` for anything else."""
    try:
        statements = [statement for statement in parse(sql, dialect=_Athena) if statement is not None]
    except SqlglotError as problem:
        detail = (getattr(problem, "errors", None) or [{}])[0]
        where = f"line {detail.get('line')}:{detail.get('col')}: " if detail.get("line") else ""
        raise QueryError(f"SYNTAX_ERROR: {where}{detail.get('description') or problem}") from problem
    if len(statements) != 1:
        raise QueryError("SYNTAX_ERROR: Only one sql statement is allowed.")
    if not isinstance(statements[0], exp.Query):
        raise QueryError("NOT_SUPPORTED: this emulator runs queries, CREATE EXTERNAL TABLE and DROP TABLE only.")
    return statements[0]


def bind_parameters(sql: str, parameters: list[str]) -> str:
    """Replace the question marks of ``sql`` by ExecutionParameters, each the text of an SQL literal."""
    places = [token for token in _tokens(sql) if token.token_type == TokenType.PLACEHOLDER]
    if len(places) != len(parameters):
        counts = f"expected {len(places)} but found {len(parameters)}"
        raise QueryError(f"INVALID_PARAMETER_USAGE: Incorrect number of parameters: {counts}")
    for place, text in reversed(list(zip(places, parameters, strict=True))):
        _check_literal(text)
        sql = f"{sql[: place.start]} {text} {sql[place.end + 1 :]}"
    return sql


def _tokens(sql: str) -> list[Token]:
    try:
        return _Athena().tokenize(sql)
    except SqlglotError as problem:
        raise QueryError(f"SYNTAX_ERROR: {problem}") from problem


def _check_literal(text: str) -> None:
    query = parse_query(f"SELECT {text}")
    clauses = {key for key, value in query.args.items() if value and key != "expressions"}
    names = query.find(exp.Column, exp.Alias, exp.Star, exp.Subquery)
    if clauses - {"kind"} or len(query.selects) != 1 or names is not None:
        raise QueryError(f"INVALID_PARAMETER_USAGE: {text} is not a literal; text needs single quotes")


def check_comparisons(query: exp.Query, text_columns: set[str]) -> None:
    """Refuse, as Athena does, to compare a text column of the tables with a number, date or timestamp."""
    for node in query.find_all(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In):
        operands = _operands(node)
        columns = [o for o in operands if isinstance(o, exp.Column) and _is_one_of(o, text_columns)]
        for other in operands if columns else []:
            kind = _literal_kind(other)
            if kind is not None:
                raise QueryError(
                    f"TYPE_MISMATCH: Cannot apply operator: varchar and {kind} in '{node.sql(dialect='trino')}' "
                    f"(column {columns[0].name} is varchar)"
                )


def to_duckdb(query: exp.Query) -> str:
    """Return DuckDB's SQL for a query whose tables have been replaced."""
    query = query.copy()
    for node in list(query.find_all(exp.Anonymous)):
        name = node.name.lower()
        if name in MACROS:
            node.set("this", f"trino_{name}")
            if name.startswith("json_"):
                _rewrite_paths(node)
    for cast in list(query.find_all(exp.Cast)):
        _rewrite_cast(cast)
    _keep_dates(query)
    return query.sql(dialect="duckdb")


def macro_definitions() -> Iterator[str]:
    """Yield the statements that define ``MACROS`` in a connection."""
    for name, overloads in MACROS.items():
        yield f"CREATE MACRO trino_{name}" + ", ".join(f"({parameters}) AS {body}" for parameters, body in overloads)


def _is_one_of(column: exp.Column, names: set[str]) -> bool:
    return len(column.parts) <= 2 and column.name.lower() in names


def _operands(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, exp.Between):
        return [node.this, node.args["low"], node.args["high"]]
    if isinstance(node, exp.In):
        return [node.this, *node.expressions]
    return [node.this, node.expression]


def _literal_kind(node: exp.Expr) -> str | None:
    if isinstance(node, exp.Neg):
        return _literal_kind(node.this)
    if isinstance(node, exp.Literal):
        return "integer" if not node.is_string else None
    if isinstance(node, exp.CurrentDate):
        return "date"
    if isinstance(node, exp.CurrentTimestamp):
        return "timestamp with time zone"
    if isinstance(node, exp.Cast) and node.to.this.name in _TEMPORAL:
        return str(node.to.this.name).lower()
    return None


def _rewrite_paths(function: exp.Anonymous) -> None:
    """Rewrite Trino's ``$["a b"]`` as DuckDB's ``$."a b"``."""
    for argument in function.expressions[1:]:
        if isinstance(argument, exp.Literal) and argument.is_string and argument.name.startswith("$"):
            argument.set("this", re.sub(_PATH_KEY, r'."\1"', argument.name))


def _rewrite_cast(cast: exp.Cast) -> None:
    if isinstance(cast.this, exp.Anonymous) and cast.this.name.lower().removeprefix("trino_") in _JSON_FUNCTIONS:
        if cast.to.is_type(*exp.DataType.TEXT_TYPES):
            cast.replace(exp.Anonymous(this="trino_json_to_varchar", expressions=[cast.this]))
    elif cast.to.is_type(exp.DataType.Type.JSON):
        cast.replace(exp.Anonymous(this="to_json", expressions=[cast.this]))
    elif cast.to.this.name.startswith("TIMESTAMP"):
        cast.to.set("expressions", [])  # DuckDB has other types for timestamp(0), (3) and (9)


def _keep_dates(query: exp.Query) -> None:
    """Cast a date plus whole days to a date, as in Trino: DuckDB's timestamp differs when compared as text."""
    annotate_types(query, dialect="trino")
    for node in list(query.find_all(exp.Add, exp.Sub, exp.DateAdd, exp.DateSub, exp.TimestampTrunc, exp.DateTrunc)):
        unit = node.args.get("unit")
        if isinstance(node, exp.Add | exp.Sub):
            unit = node.expression.args.get("unit") if isinstance(node.expression, exp.Interval) else None
        start = node.this
        is_date = start.is_type("date") or (isinstance(start, exp.Paren) and start.this.is_type("date"))
        if unit is not None and is_date and unit.name.upper().rstrip("S") in _WHOLE_DAYS:
            node.replace(exp.cast(node.copy(), "date"))
