"""Run queries on a connection to Postgres, which the first query opens."""

from collections.abc import Callable
from typing import Any, LiteralString, Self

from psycopg import Connection
from psycopg.rows import dict_row

from pipeline.settings import Database
from pipeline.sinks.postgres import connect_for_people


class InTransaction:
    """Statements in a transaction that the caller has opened."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, query: LiteralString, *parameters: str | int) -> list[dict[str, Any]]:
        """Run a statement, in which each `%s` is a parameter. Raises psycopg.Error."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, parameters).fetchall()


class Server:
    """A `Reader` with a connection of its own, which the `with` block closes, and a limit of `seconds` a statement.

    `left` returns the seconds that a statement may take instead.
    """

    chunk: int | None = None

    def __init__(
        self,
        database: Database,
        page: int = 1000,
        seconds: int = 20,
        *,
        left: Callable[[], float] | None = None,
        connect: Callable[..., Connection] = connect_for_people,
    ) -> None:
        self._database, self._left, self._connect = database, left, connect
        # Compiling a statement takes longer than it saves, of the short ones and of those that hash a table.
        self._options = f"-c timezone=UTC -c lock_timeout=5s -c statement_timeout={seconds}s -c jit=off"
        self._connection: Connection | None = None
        self.page = page

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def rows(self, query: LiteralString, *parameters: str | int) -> list[dict[str, Any]]:
        """Run a query; see `Reader`. Raises StoreDown and psycopg.Error."""
        if self._connection is None or self._connection.closed:
            self._connection = self._connect(self._database, options=self._options)
            self._connection.read_only = True
        with self._connection.transaction():
            transaction = InTransaction(self._connection)
            if self._left:
                milliseconds = max(int(self._left() * 1000), 0) + 1  # 0 would be no limit
                transaction.rows("SELECT set_config('statement_timeout', %s, true)", f"{milliseconds}ms")
            return transaction.rows(query, *parameters)
