"""Read a line of an object into the columns of its table, as Hive's LazySimpleSerDe does.

AWS (Athena User Guide, "LazySimpleSerDe for CSV, TSV, and custom-delimited files") leaves the details to Hive: fields
are separated by ``field.delim``, by default the control character U+0001, and nothing is escaped unless
``escape.delim`` says so. A field that is missing is NULL, as is one that is ``\\N``. JSON text holds no control
character, so a table of one text column has the whole line. Columns of other types are refused.
"""

from typing import Any

from devstack.emulator.athena.errors import QueryError
from devstack.emulator.athena.hive_types import HiveType

_SEPARATOR, _NULL = "\x01", "\\N"


class TextReader:
    """A reader of one table's lines into JSON documents whose keys are its columns."""

    def __init__(self, columns: list[tuple[str, HiveType]], parameters: dict[str, str]) -> None:
        other = [name for name, kind in columns if kind.name != "string"]
        if other or "escape.delim" in parameters:
            raise QueryError(f"NOT_SUPPORTED: this emulator's LazySimpleSerDe reads unescaped text only ({other})")
        self._names = [name for name, _ in columns]
        self._separator = parameters.get("field.delim", _SEPARATOR)

    def read(self, line: str) -> dict[str, Any]:
        """Return the row of one line."""
        fields = line.split(self._separator)
        row = dict.fromkeys(self._names) | dict(zip(self._names, fields, strict=False))
        return {name: None if value == _NULL else value for name, value in row.items()}
