"""Lines of an export in each store: beside events, again, and with users that a store cannot hold."""

import json
from typing import Any

import pytest

from pipeline import errors
from pipeline.backfill.load import Loaded, load
from pipeline.changes import Change, Export, HistoryEntry, Outcome
from pipeline.sinks import Sink
from tests.sinks.stored import Rows, Store, users
from tests.strategies import Json, changes, deleted, streamed, text, updated, user

MOMENTS = [f"2026-01-15T09:00:0{second}.000Z" for second in range(10)]
EXPORT = Export("job_1", "2026-01-15T09:30:00.000000Z")


def lines(*profiles: Json) -> list[bytes]:
    return [text(profile).encode() for profile in profiles]


def loaded(store: Store, *profiles: Json, export: Export = EXPORT) -> Loaded:
    found, refused = load(store.sink, lines(*profiles), export)
    assert refused == []
    return found


def test_users_are_loaded_once_however_often(store: Store) -> None:
    profiles = [user(f"a|{number}", MOMENTS[1], user_metadata={"n": number}) for number in range(20)]
    assert loaded(store, *profiles) == Loaded(rows=20, applied=20)
    assert users(store) == {profile["user_id"]: profile for profile in profiles}
    assert {(row.source, row.event_id) for row in store.stored.values()} == {("backfill", "job_1")}
    assert loaded(store, *profiles) == Loaded(rows=20, duplicate=20)
    later = Export("job_2", "2026-01-16T09:30:00.000000Z")
    assert loaded(store, *profiles, export=later) == Loaded(rows=20, applied=20)
    assert loaded(store, *profiles) == Loaded(rows=20, stale=20)


def test_an_event_of_the_same_moment_wins_whichever_comes_first(store: Store) -> None:
    store.sink.apply(changes(updated(user("a|1", MOMENTS[1], name="event"))))
    rows = [user("a|1", MOMENTS[1], name="export"), user("a|2", MOMENTS[1], name="export")]
    assert loaded(store, *rows) == Loaded(rows=2, applied=1, stale=1)
    store.sink.apply(changes(updated(user("a|2", MOMENTS[1], name="event"))))
    assert [one["name"] for one in users(store).values()] == ["event", "event"]


def test_a_deleted_user_stays_deleted(store: Store) -> None:
    store.sink.apply(changes(deleted("a|1", date=MOMENTS[2])))
    assert loaded(store, user("a|1", MOMENTS[1]), user("a|2", MOMENTS[1])) == Loaded(rows=2, applied=1, stale=1)
    assert loaded(store, user("a|2", MOMENTS[3])) == Loaded(rows=1, applied=1)
    assert users(store).keys() == {"a|2"}


def test_a_row_clears_what_was_exported_and_keeps_what_was_not(store: Store) -> None:
    before = user("a|1", MOMENTS[1], username="ada", blocked=True, user_metadata={"plan": "gold"})
    store.sink.apply(changes(updated(before)))
    row = {"user_id": "a|1", "updated_at": MOMENTS[2], "email": "new@acme.example"}
    loaded(store, row, export=Export("job_1", EXPORT.taken_at, ("user_id", "updated_at", "email", "blocked")))
    rest = {key: value for key, value in before.items() if key != "blocked"}
    assert users(store) == {"a|1": rest | row}


def test_keys_that_came_empty_with_one_export_share_its_version(store: Store) -> None:
    fields = ("app_metadata", "blocked", "email", "family_name", "given_name", "user_metadata", "username")
    loaded(store, user("a|1", MOMENTS[1], email="a@acme.example"), export=Export("job_1", EXPORT.taken_at, fields))
    row = store.stored["a|1"]
    carried = json.loads(row.carried) if isinstance(row.carried, str) else row.carried
    keys = carried["keys"][row.version]
    assert carried == {"whole": "", "keys": {row.version: sorted(keys)}}
    assert set(keys) >= {"blocked", "family_name", "given_name", "username"}
    assert len(json.dumps(carried)) < 250


def test_new_and_known_users_are_loaded_together(store: Store) -> None:
    """Postgres gets the new ones in a statement of their own."""
    partial = streamed("user.updated", {"user_id": "a|3", "updated_at": MOMENTS[2], "blocked": True}, event_id="e")
    store.sink.apply(changes(updated(user("a|1", MOMENTS[2], name="event")), deleted("a|2", date=MOMENTS[2]), partial))
    rows = [user(f"a|{number}", MOMENTS[at], name="export") for number, at in enumerate((1, 3, 1, 1, 1))]
    assert loaded(store, *rows) == Loaded(rows=5, applied=4, stale=1)
    found = users(store)
    assert {user_id: one["name"] for user_id, one in found.items()} == dict.fromkeys(
        ("a|0", "a|1", "a|3", "a|4"), "export"
    )
    assert (found["a|3"]["blocked"], found["a|3"]["updated_at"]) == (True, MOMENTS[2])


@pytest.mark.parametrize("event", [updated(user("a|1", MOMENTS[2])), deleted("a|1", date=MOMENTS[2])])
def test_an_event_before_the_first_write_of_a_row_is_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch, event: Json
) -> None:
    write, pending = getattr(store.sink, store.write), [event]

    def overtaken(*arguments: Any, **options: Any) -> Any:
        while arguments[0] and pending:
            assert store.sink.apply(changes(pending.pop())).failed == {}
        return write(*arguments, **options)

    monkeypatch.setattr(store.sink, store.write, overtaken)
    assert loaded(store, user("a|1", MOMENTS[1])) == Loaded(rows=1, stale=1)
    assert store.stored["a|1"].source == "auth0.logs"


def test_the_same_user_twice_is_one_change(store: Store) -> None:
    rows = [user("a|1", MOMENTS[at], name=f"{at}") for at in (1, 3, 2)]
    assert loaded(store, *rows) == Loaded(rows=3, applied=1, stale=2)
    assert users(store)["a|1"]["name"] == "3"


def test_odd_lines_are_counted(store: Store) -> None:
    some = [b"{", *lines(user("a|1")), b"", b'{"user_id":"a|2"}']
    assert load(store.sink, some, EXPORT) == (Loaded(rows=3, applied=1, odd=2), [])


def test_small_chunks_end_the_same(store: Store) -> None:
    profiles = [user(f"a|{number % 7}", MOMENTS[number % 10], name=f"{number}") for number in range(30)]
    found, _ = load(store.sink, lines(*profiles), EXPORT, chunk=4)
    assert found.rows == 30
    assert found.applied + found.stale == 30
    newest = {f"a|{one}": max(n % 10 for n in range(30) if n % 7 == one) for one in range(7)}
    assert {key: one["updated_at"] for key, one in users(store).items()} == {
        key: MOMENTS[at] for key, at in newest.items()
    }


def test_a_user_that_the_store_refuses_is_named_and_takes_none_down(rows: Rows) -> None:
    profiles = lines(*(user(f"a|{number}") for number in range(5)))
    profiles[3] = profiles[3].replace(b'"Ada Lovelace"', b"1e200000")
    found, refused = load(rows.sink, profiles, EXPORT)
    assert found == Loaded(rows=5, applied=4, refused=1)
    assert [(one.user_id, one.error.reason) for one in refused] == [("a|3", "Refused")]


class Busy(Sink):
    """A store that does not take one user now."""

    def apply(self, changes: Any, history: Any = ()) -> Outcome:
        """See ``Sink``."""
        return Outcome(failed={changes[0].user_id: errors.StoreBusy()})

    def close(self) -> None:
        """Nothing to close."""


def test_what_the_store_does_not_take_now_is_loaded_again() -> None:
    with pytest.raises(errors.StoreBusy):
        load(Busy(), lines(user("a|1"), user("a|2")), EXPORT)


class Recording(Busy):
    """A store that takes everything."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, int]] = []

    def apply(self, changes: "list[Change]", history: "tuple[HistoryEntry, ...]" = ()) -> Outcome:  # type: ignore[override]  # `load` passes these types
        """See ``Sink``."""
        self.batches.append((len(changes), len(history)))
        return Outcome()


@pytest.mark.parametrize("moment", ["", "soon", "2026-01-15T09:30:00Z", "2999-01-01T00:00:00.000000Z"])
def test_an_export_without_a_place_in_the_order_is_refused(moment: str) -> None:
    """Its time would order the users that are dated ahead, and win for ever."""
    sink = Recording()
    with pytest.raises(errors.BadTimestamp):
        load(sink, lines(user("a|1")), Export("job_1", moment))
    assert sink.batches == []


def test_no_history_is_told() -> None:
    sink = Recording()
    load(sink, lines(*(user(f"a|{number}") for number in range(2500))), EXPORT)
    assert sink.batches == [(1000, 0), (1000, 0), (500, 0)]
