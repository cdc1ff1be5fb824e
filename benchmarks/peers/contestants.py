"""Our sink and the peers that need no package beyond ours; ``with_dlt`` has the others."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from operator import itemgetter

import psycopg
from psycopg import sql
from sqlalchemy import create_engine, func
from sqlalchemy.dialects.postgresql import insert

from benchmarks.peers.reading import COLUMNS, TYPES, Order, newest, rows
from benchmarks.records import Records
from devstack.traffic import DEFAULT_SOURCE
from pipeline.functions.sync import Sync
from pipeline.schema import user_rows
from pipeline.senders import Senders
from pipeline.settings import Database
from pipeline.sinks.postgres import PostgresSink, connect

Write = Callable[[Records], None]
"""Write a batch of SQS records, and return when it is committed."""

FIVE = ("user_id", "updated_at", "user_metadata", "app_metadata", "profile")
"""The columns of a table that holds little more than the JSON."""

_USERS = sql.Identifier("auth0", user_rows.name)


@contextmanager
def our_sink(url: str) -> Iterator[Write]:
    """The sync function, from the SQS records to its metrics."""
    with closing(PostgresSink(lambda: connect(Database(url=url)))) as sink:
        sync = Sync(sink, "postgres", senders=Senders(frozenset({DEFAULT_SOURCE})))

        def write(records: Records) -> None:
            assert sync(records) == {"batchItemFailures": []}

        yield write


@contextmanager
def row_by_row(url: str, order: Order) -> Iterator[Write]:
    """An upsert a row, prepared, in one transaction a batch."""
    values = sql.SQL(", ").join(sql.Placeholder() * len(COLUMNS))
    composed = _upsert(_USERS, COLUMNS, sql.SQL("VALUES ({})").format(values), order)
    with psycopg.connect(url, autocommit=True) as connection:
        upsert = composed.as_bytes(connection)  # psycopg would put it together again for each row

        def write(records: Records) -> None:
            with connection.transaction():
                for row in rows(records):
                    connection.execute(upsert, row, prepare=True)

        yield write


@contextmanager
def sqlalchemy(url: str, order: Order) -> Iterator[Write]:
    """SQLAlchemy's upsert by executemany, which psycopg sends as a pipeline.

    The other way, insertmanyvalues, is half as fast here, and cannot write two rows of a user at once.
    """
    upsert = insert(user_rows)
    changes = {name: upsert.excluded[name] for name in COLUMNS[1:]} | {"synced_at": func.now()}
    newer = user_rows.c[order] < upsert.excluded[order]
    statement = upsert.on_conflict_do_update(index_elements=["user_id"], set_=changes, where=newer)
    # The JSON is text already, which spares the peer to decode and encode it.
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), json_serializer=str)

    def write(records: Records) -> None:
        with engine.begin() as connection:
            connection.execute(statement, [dict(zip(COLUMNS, row, strict=True)) for row in rows(records)])

    try:
        yield write
    finally:
        engine.dispose()


@contextmanager
def copy_and_merge(url: str, order: Order, columns: Sequence[str] = COLUMNS, *, tuned: bool = False) -> Iterator[Write]:
    """COPY into a temporary table, and upsert the newest row of each user from there.

    ``tuned`` finds the newest rows before it copies them, and stores them uncompressed until they are merged. Columns
    other than ours make a table of their own, with a primary key and no other index.
    """
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    types = sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(TYPES[name])) for name in columns)
    table = _USERS if columns == COLUMNS else sql.Identifier("public", "users")
    distinct = sql.SQL("SELECT DISTINCT ON (user_id) {} FROM staging ORDER BY user_id, {} DESC")
    source = sql.SQL("SELECT {} FROM staging").format(names) if tuned else distinct.format(names, sql.Identifier(order))
    upsert = _upsert(table, columns, source, order)
    copy = sql.SQL("COPY staging ({}) FROM STDIN").format(names)
    chosen = itemgetter(*map(COLUMNS.index, columns))
    with psycopg.connect(url, autocommit=True) as connection:
        if table != _USERS:
            connection.execute(sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY (user_id))").format(table, types))
        storage = sql.SQL("WITH (toast_tuple_target = 8160)" if tuned else "")
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE staging ({}) {} ON COMMIT DELETE ROWS").format(types, storage)
        )

        def write(records: Records) -> None:
            with connection.transaction(), connection.cursor() as cursor:
                with cursor.copy(copy) as staging:
                    for row in newest(rows(records), order) if tuned else rows(records):
                        staging.write_row(chosen(row))
                cursor.execute(upsert, prepare=True)

        yield write


def _upsert(table: sql.Identifier, columns: Sequence[str], source: sql.Composable, order: Order) -> sql.Composed:
    """Return an upsert that writes only rows that are newer than the ones there."""
    changes: list[sql.Composable] = [
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in columns if name != "user_id"
    ]
    if table == _USERS:
        changes.append(sql.SQL("synced_at = now()"))
    return sql.SQL(
        "INSERT INTO {table} AS stored ({names}) {source} "
        "ON CONFLICT (user_id) DO UPDATE SET {changes} WHERE stored.{order} < excluded.{order}"
    ).format(
        table=table,
        names=sql.SQL(", ").join(map(sql.Identifier, columns)),
        source=source,
        changes=sql.SQL(", ").join(changes),
        order=sql.Identifier(order),
    )
