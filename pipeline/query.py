"""The result of a query to Postgres, the RDS Data API or Athena."""

from dataclasses import dataclass, replace
from typing import Any, Self

from pipeline.errors import Auth0SyncError


class TimedOut(Auth0SyncError):
    """The query exceeded its timeout, and was cancelled. Ask for less, or give it more time."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a query.

    :param columns: names, in order; a name may repeat.
    :param rows: one tuple per row. Text, int, float, Decimal, bool, date, datetime, parsed JSON, list, or None; values
        without a Python type are the text that the service prints.
    :param more: whether a limit left out further rows.
    :param scanned_bytes: bytes that Athena read and bills; None from Postgres, which bills no query.
    :param query_id: Athena's id of the execution.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    more: bool = False
    scanned_bytes: int | None = None
    query_id: str = ""

    def dicts(self) -> list[dict[str, Any]]:
        """Return the rows by column name. The second column `a` is `a_2`, so that none is lost."""
        names: list[str] = []
        for column in self.columns:
            name, number = column, 1
            while name in names:
                number += 1
                name = f"{column}_{number}"
            names.append(name)
        return [dict(zip(names, row, strict=True)) for row in self.rows]

    def first(self, limit: int) -> Self:
        """Return the result with its first rows, `limit` at most."""
        return replace(self, rows=self.rows[:limit], more=len(self.rows) > limit)
