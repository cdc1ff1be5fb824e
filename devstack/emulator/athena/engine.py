"""Run one query over the Glue catalog and the objects of S3."""

import gzip
import json
import tempfile
import zlib
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlparse

import duckdb
from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from devstack.emulator.athena import dialect, hive_types, projection, results
from devstack.emulator.athena.errors import QueryError
from devstack.emulator.athena.hive_types import HiveType, quote
from devstack.emulator.athena.lazy_simple import TextReader
from devstack.emulator.athena.openx import LineReader

OPENX = "org.openx.data.jsonserde.JsonSerDe"
LAZY_SIMPLE = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
VIEW_PREFIX, VIEW_SUFFIX = "/* Presto View: ", " */"
MAX_VIEW_DEPTH = 16
_READERS: dict[str, type[LineReader | TextReader]] = {OPENX: LineReader, LAZY_SIMPLE: TextReader}
MAX_LINE_BYTES = 64 * 1024 * 1024
PATH = "$path"
"""Column with the object of a row: "Find the source S3 files for Athena tables" in the Athena User Guide."""


class Catalog(Protocol):
    """The source of tables and objects."""

    def table(self, database: str, name: str) -> dict[str, Any] | None:
        """Return the Glue table or view, as Glue's Table structure."""

    def objects(self, location: str) -> Iterator[tuple[str, bytes]]:
        """Yield the keys and contents of the objects below ``s3://bucket/prefix``."""


@dataclass
class Result:
    """A query's result: column names and Athena types, rows as text, and the bytes of the objects read."""

    columns: list[str]
    types: list[str]
    rows: list[list[str | None]]
    scanned: int


@dataclass
class _Scan:
    """A table of the query, which becomes the DuckDB table ``relation``."""

    relation: str
    table: dict[str, Any]
    columns: list[tuple[str, HiveType]]
    partition_columns: list[tuple[str, HiveType]]
    # One condition on the partition columns for every place that reads the table; None reads all partitions.
    conditions: list[exp.Expr | None] = field(default_factory=list)


def reads(table: dict[str, Any]) -> bool:
    """Return whether this package can read a Glue table: OpenX JSON, or one column with the whole line."""
    storage = table.get("StorageDescriptor") or {}
    library = (storage.get("SerdeInfo") or {}).get("SerializationLibrary")
    columns = [column.get("Type", "string") for column in storage.get("Columns") or []]
    return library == OPENX or (library == LAZY_SIMPLE and columns == ["string"])


def run(sql: str, database: str, catalog: Catalog, parameters: list[str]) -> Result:
    """Run a query. Raises ``QueryError`` with the reason in Athena's words."""
    query = dialect.parse_query(dialect.bind_parameters(sql, parameters))
    scans: dict[tuple[str, str], _Scan] = {}
    _resolve(query, database, catalog, scans, [])
    columns = [column for scan in scans.values() for column in (*scan.columns, *scan.partition_columns)]
    other = {name for name, kind in columns if kind.name not in ("string", "varchar", "char")}
    dialect.check_comparisons(query, {name for name, _ in columns} - other)
    _name_columns(query)
    connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})
    try:
        connection.execute("SET TimeZone = 'UTC'")
        for definition in dialect.macro_definitions():
            connection.execute(definition)
        paths = any(column.name == PATH for column in query.find_all(exp.Column))
        scanned = sum(_load(connection, scan, catalog, paths=paths) for scan in scans.values())
        names, types, rows = results.fetch(connection, dialect.to_duckdb(query))
    except duckdb.Error as problem:
        raise QueryError(_in_athena_words(problem)) from problem
    finally:
        connection.close()
    return Result(names, types, rows, scanned)


def _resolve(
    query: exp.Query,
    database: str,
    catalog: Catalog,
    scans: dict[tuple[str, str], _Scan],
    inherited: list[exp.Expr],
    depth: int = 0,
) -> None:
    """Replace a query's tables by DuckDB's and its views by their queries."""
    if depth > MAX_VIEW_DEPTH:
        raise QueryError("VIEW_IS_RECURSIVE: views are nested too deep")
    for scope in traverse_scope(query):
        for node, source in list(scope.selected_sources.values()):
            if isinstance(source, exp.Table) and isinstance(node, exp.Table):
                _replace(node, scope, database, catalog, scans, inherited, depth)


def _replace(
    node: exp.Table,
    scope: Scope,
    database: str,
    catalog: Catalog,
    scans: dict[tuple[str, str], _Scan],
    inherited: list[exp.Expr],
    depth: int,
) -> None:
    name, schema = node.name.lower(), (node.db or database).lower()
    table = catalog.table(schema, name)
    if table is None:
        raise QueryError(f"TABLE_NOT_FOUND: Table 'awsdatacatalog.{schema}.{name}' does not exist")
    alias = node.alias or node.name
    if table.get("TableType") == "VIRTUAL_VIEW":
        view = _view(table)
        inner = dialect.parse_query(view["originalSql"])
        conditions = _conditions(scope, inherited)
        _resolve(inner, view.get("schema") or schema, catalog, scans, conditions, depth + 1)
        node.replace(_in_place_of(node, exp.Subquery(this=inner), alias))
        return
    scan = scans.get((schema, name))
    if scan is None:
        scan = scans[schema, name] = _scan(table, f"glue_{len(scans)}")
    keys = {key for key, _ in scan.partition_columns}
    usable = [c for c in _conditions(scope, inherited) if {column.name.lower() for column in _columns(c)} <= keys]
    scan.conditions.append(exp.and_(*usable) if usable else None)
    _drop_qualifiers(scope, schema, name, alias)
    node.replace(_in_place_of(node, exp.to_table(scan.relation), alias))


def _in_place_of(node: exp.Table, source: exp.Expr, alias: str) -> exp.Expr:
    """Return ``source`` under the name of the table that it replaces, with the joins of that."""
    source.set("alias", node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
    for key in ("joins", "laterals", "sample"):
        if node.args.get(key):
            source.set(key, node.args[key])
    return source


def _view(table: dict[str, Any]) -> dict[str, Any]:
    text = (table.get("ViewOriginalText") or "").strip()
    if not text.startswith(VIEW_PREFIX) or not text.endswith(VIEW_SUFFIX):
        raise QueryError(f"INVALID_VIEW: the text of view {table['Name']} is not that of an Athena view")
    try:
        encoded = text.removeprefix(VIEW_PREFIX).removesuffix(VIEW_SUFFIX)
        view: dict[str, Any] = json.loads(b64decode(encoded))
    except ValueError as problem:
        raise QueryError(f"INVALID_VIEW: the text of view {table['Name']} cannot be read: {problem}") from problem
    return view


def _scan(table: dict[str, Any], relation: str) -> _Scan:
    storage = table["StorageDescriptor"]
    library = (storage.get("SerdeInfo") or {}).get("SerializationLibrary")
    if library not in _READERS:
        known = " and ".join(_READERS)
        raise QueryError(f"NOT_SUPPORTED: this emulator reads tables of {known} only; {table['Name']} has {library}")
    columns = [(c["Name"].lower(), hive_types.parse(c.get("Type", "string"))) for c in storage.get("Columns") or []]
    keys = [(c["Name"].lower(), hive_types.parse(c.get("Type", "string"))) for c in table.get("PartitionKeys") or []]
    return _Scan(relation, table, columns, keys)


def _conditions(scope: Scope, inherited: list[exp.Expr]) -> list[exp.Expr]:
    """Return the conditions on the rows that a SELECT over one source reads: its own WHERE, and conditions of outer
    queries on columns that it passes on. ``inherited`` has those of the outermost SELECT. Column names are unqualified.
    """
    if len(scope.selected_sources) != 1:
        return []
    if scope.parent is not None:
        inherited = _conditions(scope.parent, inherited) if scope.is_derived_table else []
    inherited = [condition for condition in inherited if _is_passed_on(scope.expression, condition)]
    where = scope.expression.args.get("where")
    if where is None:
        return inherited
    (alias,) = scope.selected_sources
    own = [part.copy() for part in (where.this.flatten() if isinstance(where.this, exp.And) else [where.this])]
    own = [part for part in own if all(column.table in ("", alias) and not column.db for column in _columns(part))]
    for column in (column for part in own for column in _columns(part)):
        column.set("table", None)
    return [*inherited, *(part for part in own if part.find(exp.Query) is None)]


def _is_passed_on(select: exp.Expr, condition: exp.Expr) -> bool:
    """Return whether a condition on a SELECT's results can filter its source: its columns come from the source
    unchanged, and neither a limit nor a window depends on rows with other values of them.
    """
    if not isinstance(select, exp.Select) or any(
        select.args.get(key) for key in ("limit", "offset", "group", "distinct")
    ):
        return False
    plain = {item.name.lower() for item in select.expressions if isinstance(item, exp.Column) and len(item.parts) <= 2}
    windows = [
        {item.name.lower() for item in window.args.get("partition_by") or [] if isinstance(item, exp.Column)}
        for window in select.find_all(exp.Window)
    ]
    names = {column.name.lower() for column in _columns(condition)}
    return (select.is_star or names <= plain) and all(names <= window for window in windows)


def _columns(condition: exp.Expr) -> list[exp.Column]:
    return list(condition.find_all(exp.Column))


def _drop_qualifiers(scope: Scope, schema: str, name: str, alias: str) -> None:
    """Rewrite ``database.table.column`` as ``alias.column``: the replaced table has only its alias."""
    for column in scope.expression.find_all(exp.Column):
        if column.db.lower() == schema and column.table.lower() == name:
            column.set("db", None)
            column.set("catalog", None)
            column.set("table", exp.to_identifier(alias, quoted=True))


def _name_columns(query: exp.Query) -> None:
    select = query
    while isinstance(select, exp.SetOperation | exp.Subquery):
        select = select.this
    if not isinstance(select, exp.Select):
        return
    for position, item in enumerate(select.expressions):
        if not isinstance(item, exp.Alias | exp.Column | exp.Dot | exp.Star):
            named = exp.alias_(item.copy(), f"{results.UNNAMED}{position}", quoted=True)
            item.replace(named)


def _load(connection: duckdb.DuckDBPyConnection, scan: _Scan, catalog: Catalog, *, paths: bool) -> int:
    """Create the DuckDB table of a scan, ``paths``: with "$path". Return the bytes of the objects read."""
    columns = [*scan.columns, *scan.partition_columns]
    if paths:
        columns.append((PATH, hive_types.parse("string")))
    bucket = urlparse(scan.table["StorageDescriptor"]["Location"]).netloc
    definition = ", ".join(f"{quote(name)} {kind.duckdb}" for name, kind in columns)
    connection.execute(f"CREATE TABLE {scan.relation} ({definition})")
    serde = scan.table["StorageDescriptor"]["SerdeInfo"]
    reader = _READERS[serde["SerializationLibrary"]](scan.columns, serde.get("Parameters") or {})
    scanned = 0
    with tempfile.TemporaryDirectory(prefix="athena-") as directory:
        path = Path(directory) / "rows.json"
        # A lone surrogate has no UTF-8; Java writes a question mark, so does this.
        with path.open("w", encoding="utf-8", errors="replace") as rows:
            for partition, key, content in _objects(connection, scan, catalog):
                scanned += len(content)
                more = dict(partition) | ({PATH: f"s3://{bucket}/{key}"} if paths else {})
                for line in _lines(key, content):
                    rows.write(json.dumps({**reader.read(line), **more}, ensure_ascii=False) + "\n")
        if path.stat().st_size:
            types = ", ".join(f"'{name.replace(chr(39), chr(39) * 2)}': '{kind.duckdb}'" for name, kind in columns)
            connection.execute(
                f"INSERT INTO {scan.relation} SELECT * FROM read_json(?, format = 'newline_delimited', "  # noqa: S608 - an emulator of a query service
                f"columns = {{{types}}}, maximum_object_size = {MAX_LINE_BYTES})",
                [str(path)],
            )
    return scanned


def _objects(
    connection: duckdb.DuckDBPyConnection, scan: _Scan, catalog: Catalog
) -> Iterator[tuple[projection.Partition, str, bytes]]:
    """Yield the table's objects in the partitions that match its conditions."""
    find = projection.partition_of(scan.table)
    wanted: dict[projection.Partition, bool] = {}
    for key, content in catalog.objects(scan.table["StorageDescriptor"]["Location"]):
        partition = find(key)
        if partition is None:
            continue
        if partition not in wanted:
            wanted[partition] = _is_wanted(connection, scan, partition)
        if wanted[partition]:
            yield partition, key, content


def _is_wanted(connection: duckdb.DuckDBPyConnection, scan: _Scan, partition: projection.Partition) -> bool:
    if not partition or None in scan.conditions:
        return True
    types = dict(scan.partition_columns)
    values = ", ".join(f"CAST(? AS {types[name].duckdb}) AS {quote(name)}" for name, _ in partition)
    condition = exp.or_(*[exp.paren(c.copy()) for c in scan.conditions if c is not None])
    sql = dialect.to_duckdb(exp.select("*").from_("candidate").where(condition))
    found = connection.execute(f"WITH candidate AS (SELECT {values}) {sql}", [value for _, value in partition])
    return found.fetchone() is not None


def _lines(key: str, content: bytes) -> list[str]:
    if key.endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as problem:
            raise QueryError(f"HIVE_CURSOR_ERROR: Failed to read file {key}: {problem}") from problem
    lines = content.decode("utf-8", errors="replace").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _in_athena_words(problem: duckdb.Error) -> str:
    text = str(problem).partition("\n\nLINE ")[0].strip()
    if isinstance(problem, duckdb.BinderException) and "column" in text.lower() and "not found" in text.lower():
        return f"COLUMN_NOT_FOUND: {text}"
    if isinstance(problem, duckdb.CatalogException) and "Function" in text:
        return f"FUNCTION_NOT_FOUND: {text}"
    return f"GENERIC_USER_ERROR: {text}"
