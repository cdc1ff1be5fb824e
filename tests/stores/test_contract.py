"""The contract of stores, over every way into them."""

from itertools import islice

from pipeline.changes import Change
from tests.stores.conftest import Stored
from tests.strategies import Json, changes, deleted, updated, user

USERS = 2_000
LONGEST = 1_024
ODD = (
    "auth0|O'Brien",
    "auth0|%s:x {} ?",
    'samlp|acme|\\x41 "quoted"',
    "auth0|Straße",
    "auth0|straße",
    "email|ÄŒ",
    "email|A\u0308",
    "email|\U0001f600",
    "email|\uffee",  # before U+1F600 in UTF-8, after it in UTF-16
    "x",
    "X",
    "auth0|" + "é" * ((LONGEST - 6) // 2),
)


def ids() -> list[str]:
    """2,000 ids, a third of them as long as ids may be."""
    plain = [f"auth0|{number * 7919 % USERS:04d}" for number in range(USERS - len(ODD))]
    return [*ODD, *(f"{one}{'z' * (LONGEST - len(one))}" if place % 3 == 0 else one for place, one in enumerate(plain))]


def version(event: Json) -> str:
    [change] = changes(event)
    assert isinstance(change, Change)
    return change.version


def test_reads_a_user_and_a_tombstone(stored: Stored) -> None:
    event = updated(user(ODD[0], user_metadata={"plan": "pro", "seats": 3, "rate": 0.5}))
    stored.apply(event)
    found = stored.store.read(ODD[0])
    assert found is not None
    assert (found["user_id"], found["version"]) == (ODD[0], version(event))
    assert found["user_metadata"] == {"plan": "pro", "seats": 3, "rate": 0.5}
    assert found["profile"]["name"] == "Ada Lovelace"
    assert found.get("deleted_at") is None

    gone = deleted(ODD[0], date="2027-01-01T00:00:00.000Z")
    stored.apply(gone)
    found = stored.store.read(ODD[0])
    assert found is not None
    assert found["version"] == version(gone)
    assert found["deleted_at"] is not None
    assert not found.get("profile")

    assert stored.store.read("auth0|nobody") is None


def test_finds_users_by_address_in_any_case(stored: Stored) -> None:
    stored.apply(
        updated(user("google-oauth2|1", email="ADA@acme.example")),
        updated(user("auth0|1", email="Ada@acme.example")),
        updated(user("auth0|2", email="o'brien%s:x@acme.example")),
        updated(user("auth0|3", email=None)),
        updated(user("auth0|4", email="ada@acme.example")),
        updated(user("auth0|5", email="deep@acme.example", nested={"": 1}, **{"": 1})),
    )
    stored.apply(deleted("auth0|4", date="2027-01-01T00:00:00.000Z"))
    assert stored.store.find("ada@ACME.example") == ["auth0|1", "google-oauth2|1"]
    assert stored.store.find("O'Brien%s:X@acme.example") == ["auth0|2"]
    assert stored.store.find("deep@acme.example") == ["auth0|5"]
    assert stored.store.find("nobody@acme.example") == []


def test_versions_of_2000_users_come_in_the_order_of_their_bytes(stored: Stored) -> None:
    events = {user_id: updated(user(user_id)) for user_id in ids()}
    stored.apply(*events.values())
    tombstones = {
        user_id: deleted(user_id, date="2027-01-01T00:00:00.000Z") for user_id in islice(events, 0, USERS, 40)
    }
    stored.apply(*tombstones.values())
    expected = {user_id: version(event) for user_id, event in (events | tombstones).items()}
    assert len(expected) == USERS
    found = list(stored.store.versions())
    assert found == sorted(expected.items(), key=lambda pair: pair[0].encode())


def test_an_empty_store_has_no_versions(stored: Stored) -> None:
    assert list(stored.store.versions()) == []
