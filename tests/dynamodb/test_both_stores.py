"""Both stores end in the same state, whatever each of them is delivered."""

from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from pipeline.settings import Database
from pipeline.sinks.postgres import PostgresSink, connect
from tests.strategies import against_a_server, changes, deliveries, histories, newest

SHARED = ("version", "source", "event_id")


@settings(against_a_server, max_examples=10)
@given(st.data())
def test_both_stores_end_as_the_model_does(sink, table, postgres_url, data):
    logs = data.draw(histories())
    connection = connect(Database(url=postgres_url))
    other = PostgresSink(lambda: connection)
    try:
        table.empty()
        connection.execute("TRUNCATE auth0.users")
        for store in (sink, other):
            for batch in data.draw(deliveries(logs)):
                assert store.apply(changes(*(entry.body for entry in batch))).failed == {}
        rows = connection.cursor(row_factory=dict_row).execute("SELECT * FROM auth0.users").fetchall()
    finally:
        other.close()
    items = table.items
    model = {user_id: (entry.log_id, entry.gone, entry.metadata or {}) for user_id, entry in newest(logs).items()}
    assert {row["user_id"]: tuple(row[name] for name in SHARED) for row in rows} == {
        user_id: tuple(item[name] for name in SHARED) for user_id, item in items.items()
    }
    assert {
        user_id: (event_id, gone, {} if gone else metadata) for user_id, (event_id, gone, metadata) in model.items()
    } == {row["user_id"]: (row["event_id"], row["deleted_at"] is not None, row["user_metadata"]) for row in rows}
    for user_id, (event_id, gone, metadata) in model.items():
        item = items[user_id]
        assert (item["event_id"], "deleted_at" in item, item.get("user_metadata", {})) == (
            event_id,
            gone,
            {} if gone else metadata,
        )
