"""SQL and Python compute the same hash of a user, and users with the same hash are equal."""

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reconcile import Kind
from pipeline.reconcile.canonical import Attribute, document, number
from pipeline.reconcile.digests import bucket_of, hash_of
from tests.reconcile.world import World
from tests.sinks.test_carried import KEYS, MOMENTS
from tests.strategies import against_a_server, documents, nasty_text, streamed, updated, user

integers = st.integers(-(10**20), 10**20)
javascript = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False).map(abs))
written = st.sampled_from(
    [
        "1.0",
        "1.50",
        "-0",
        "-0.0",
        "0.00",
        "1e2",
        "1E+2",
        "12e-1",
        "1e40",
        "1e-140",
        "9" * 38,
        "9" * 60,
        "0.1e-5",
        "1e21",
    ]
)
"""Numbers as other programs than Auth0 write them."""


values = documents(texts=nasty_text.filter(bool), numbers=javascript)
"""An object with an empty key is a text in DynamoDB, which a person could also have written."""


def hashes(both: World, *, contents: bool = True) -> tuple[dict[str, int], dict[str, int]]:
    """The hash of each user in Postgres and in DynamoDB."""
    stores = both.stores(contents=contents)
    digests = stores.postgres.digests()
    listing: Any = stores.dynamodb.listing(lambda _: None)
    rows = dict(stores.postgres.users(range(4096)))
    items = {user_id: value for bucket in range(4096) for user_id, value in listing.users(bucket)}
    assert {bucket_of(user_id) for user_id in rows} == digests.keys()
    assert sum(digest.users for digest in digests.values()) == len(rows)
    assert sum(digest.sum for digest in digests.values()) % 2**64 == sum(rows.values()) % 2**64
    return rows, items


@given(st.dictionaries(nasty_text, documents(numbers=integers), max_size=5), documents(numbers=integers))
@against_a_server
def test_the_same_user_has_the_same_hash(both: World, fields: Any, metadata: Any) -> None:
    both.empty()
    fields = {key: value for key, value in fields.items() if key and "\0" not in key}
    both.apply(updated(fields | user("auth0|é\u00a01", user_metadata=metadata)))
    for contents in (True, False):
        rows, items = hashes(both, contents=contents)
        if not any("" in value for value in every_object(fields, metadata)):
            assert rows == items
    assert both.look().drift == []


def every_object(*values: Any) -> list[Any]:
    found = []
    for value in values:
        if isinstance(value, dict):
            found += [value, *every_object(*value.values())]
        elif isinstance(value, list):
            found += every_object(*value)
    return found


@given(st.lists(written, min_size=1, max_size=4), documents(numbers=javascript))
@against_a_server
def test_numbers_are_equal_however_they_are_written(both: World, numbers: list[str], other: Any) -> None:
    """If the hashes differ all the same, the comparison reads the user, and finds the values equal."""
    both.empty()
    event = json.dumps(updated(user(user_metadata={"other": other, "numbers": "@@"})))
    both.apply(event.replace('"@@"', f"[{', '.join(numbers)}]"))
    report = both.look()
    assert report.drift == []
    assert report.in_flight == 0


@given(values, values)
@against_a_server
def test_a_change_by_hand_is_found_where_postgres_finds_the_values_unequal(
    both: World, before: Any, after: Any
) -> None:
    both.empty()
    both.apply(updated(user("a|1", user_metadata=before)), updated(user("a|2", user_metadata=after)))
    one, two = (f"(SELECT user_metadata FROM auth0.users WHERE user_id = 'a|{number}')" for number in (1, 2))
    [row] = both.reader.rows(f"SELECT {one} = {two} AS equal")
    both.sql(f"UPDATE auth0.user_rows SET user_metadata = {two} WHERE user_id = 'a|1'")
    assert [found.kind for found in both.look().drift] == ([] if row["equal"] else [Kind.DIFFERENT])


def test_texts_as_postgres_writes_them() -> None:
    stored = {"M": {"bb": {"N": "1E+2"}, "a": {"L": [{"NULL": True}, {"BOOL": False}]}, "é": {"S": 'x"\n\x01'}}}
    assert document(msgspec.convert(stored, Attribute)) == '{"a": [null, false], "bb": 100, "é": "x\\"\\n\\u0001"}'


@pytest.mark.parametrize("odd", [{"SS": ["a"]}, {"B": b"a"}, {"NS": ["1"]}])
def test_a_value_that_no_sink_writes_has_a_text_that_no_row_has(odd: Any) -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(document(msgspec.convert({"M": {"a": odd}}, Attribute)))


def test_numbers_as_postgres_writes_them() -> None:
    assert [number(text) for text in ("1.0", "-0", "1E-7", "-1.50", "0")] == ["1", "0", "0.0000001", "-1.5", "0"]


@given(st.randoms(use_true_random=False))
@against_a_server
def test_users_of_several_changes_have_the_same_hash_in_any_order(both: World, rng: random.Random) -> None:
    both.empty()
    events = [
        updated(user("a|1", moment, username="ada"), date=moment, log_id=f"log-{at}")
        if at % 4 == 0
        else streamed(
            "user.updated",
            {"user_id": "a|1", "updated_at": moment, "name": "A", "nickname": "a"}
            | {key: {"at": at} for key in rng.sample(KEYS, 2)},
            event_id=f"evt_{at}",
            time=moment,
        )
        for at, moment in enumerate(MOMENTS)
    ]
    chosen = rng.sample(events, rng.randint(1, len(events)))
    for consumer in both.sinks:
        rng.shuffle(chosen)
        for event in chosen:
            both.apply(event, to=[consumer])
    for contents in (True, False):
        rows, items = hashes(both, contents=contents)
        assert rows == items
    assert both.look().drift == []


def test_hashes_are_the_first_bytes_of_sha256() -> None:
    assert hash_of("abc").hex() == "ba7816bf8f01cfea"
    assert bucket_of("abc") == 0xBA7
