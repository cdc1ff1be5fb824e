"""Hive's column types, as Glue tables spell them: ``struct<log_id:string,data:struct<date:string>>``."""

from dataclasses import dataclass

from devstack.emulator.athena.errors import QueryError

_DUCKDB = {
    "boolean": "BOOLEAN", "tinyint": "TINYINT", "smallint": "SMALLINT", "int": "INTEGER", "integer": "INTEGER",
    "bigint": "BIGINT", "float": "FLOAT", "double": "DOUBLE", "date": "DATE", "timestamp": "TIMESTAMP",
    "string": "VARCHAR", "varchar": "VARCHAR", "char": "VARCHAR",
}  # fmt: skip


@dataclass(frozen=True)
class HiveType:
    """A type: ``name`` in lower case; the fields of a struct; the element, or key and value, of an array or a map."""

    name: str
    fields: tuple[tuple[str, "HiveType"], ...] = ()
    arguments: tuple["HiveType", ...] = ()
    precision: tuple[int, int] = (10, 0)

    @property
    def duckdb(self) -> str:
        """Return the DuckDB type for it."""
        if self.name == "struct":
            return "STRUCT(" + ", ".join(f"{quote(name)} {kind.duckdb}" for name, kind in self.fields) + ")"
        if self.name == "array":
            return f"{self.arguments[0].duckdb}[]"
        if self.name == "map":
            return f"MAP({self.arguments[0].duckdb}, {self.arguments[1].duckdb})"
        if self.name == "decimal":
            return "DECIMAL({}, {})".format(*self.precision)
        return _DUCKDB[self.name]


def parse(text: str) -> HiveType:
    """Parse a type. Raises ``QueryError`` for one that is malformed or unknown to this emulator."""
    text = text.strip()
    head, _, rest = text.partition("<")
    name = head.strip().lower()
    if not rest:
        return _primitive(name)
    if not text.endswith(">"):
        raise QueryError(f"HIVE_INVALID_METADATA: malformed column type {text}")
    parts = _split(rest[:-1])
    if name == "struct":
        fields = [part.partition(":") for part in parts]
        return HiveType(name, fields=tuple((field.strip().lower(), parse(kind)) for field, _, kind in fields))
    if (name, len(parts)) in (("array", 1), ("map", 2)):
        return HiveType(name, arguments=tuple(parse(part) for part in parts))
    raise QueryError(f"HIVE_INVALID_METADATA: malformed column type {text}")


def quote(name: str) -> str:
    """Quote an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _primitive(text: str) -> HiveType:
    name, _, arguments = text.partition("(")
    if name == "decimal":
        numbers = [int(number) for number in arguments.rstrip(")").split(",") if number.strip()]
        return HiveType(name, precision=(numbers[0] if numbers else 10, numbers[1] if len(numbers) > 1 else 0))
    if name not in _DUCKDB:
        raise QueryError(f"NOT_SUPPORTED: this emulator does not read columns of type {text or '(none)'}")
    return HiveType(name)


def _split(text: str) -> list[str]:
    """Split ``text`` at its top-level commas."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += {"<": 1, "(": 1, ">": -1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]]
