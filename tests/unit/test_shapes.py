"""A megabyte of the worst JSON in one message: it has one outcome, and another message of the batch its own.

``make bench`` measures what each costs.
"""

import msgspec
import pytest

from devstack.traffic.shapes import SIZE, VALUES, messages
from pipeline.batch import collect
from pipeline.errors import Refused
from pipeline.sinks.dynamodb import MAX_ITEM_BYTES, item, size
from tests.strategies import records, updated, user

MESSAGES = dict(messages())
UNREADABLE = {"integers of 5,000 digits", "one integer"}
"""Values that Python's JSON reader refuses, and with it the DynamoDB function."""


@pytest.mark.parametrize("name", MESSAGES)
def test_a_megabyte_has_one_outcome_and_takes_nobody_down(name: str) -> None:
    batch = collect(records(MESSAGES[name], updated(user("auth0|other"))), history=True)
    if name.startswith("no event"):
        assert [failure.error.reason for failure in batch.unread] in (["NotJson"], ["UnknownShape"])
        assert list(batch.newest) == ["auth0|other"]
        return
    if name == "path without an end":
        assert (sum(batch.ignored.values()), list(batch.newest)) == (1, ["auth0|other"])
        return
    assert batch.unread == []
    assert set(batch.newest) == {"auth0|worst", "auth0|other"}
    for change in batch.changes:
        msgspec.json.encode(change)
        try:
            stored = item(change)
        except Refused:
            assert name in UNREADABLE
            continue
        assert sum(len(key) + size(value) for key, value in stored.items()) <= MAX_ITEM_BYTES
    for entry in batch.history:
        msgspec.json.encode(entry)


@pytest.mark.parametrize("name", VALUES)
def test_a_value_has_about_a_megabyte(name: str) -> None:
    assert 0.5 * SIZE < len(VALUES[name]()) < 1.01 * SIZE
