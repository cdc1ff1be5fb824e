"""A person chooses names, metadata and ids, and so do the administrators of an identity provider.

Nothing that they choose keeps a later change out of the stores: an administrator blocks the user and takes the roles
away, in an event that still carries the hostile value, and both stores show it.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any

from pipeline.auth0 import envelope
from pipeline.batch import collect
from pipeline.delivery.envelope import StoredUser, stored_user
from pipeline.senders import Senders
from tests.invoking import SOURCES
from tests.sinks.stored import Store, users
from tests.strategies import Json, records, streamed, text, updated, user

BEFORE, AFTER = "2026-01-15T09:00:01.000Z", "2026-01-15T09:00:02.000Z"
RAW = '"@@"'

FIELDS = (
    *("name", "family_name", "email", "username", "phone_number", "nickname"),
    *("user_metadata", "user_metadata.name", "user_metadata.address.name", "identities", "last_ip", "made-up", ""),
)
VALUES = {
    "asterisks": '"***"',
    "one asterisk": '"*"',
    "asterisks and spaces": '"** **"',
    "an address without @": '"ada"',
    "an address of asterisks": '"a***@***"',
    "eight digits": '"12345678"',
    "hexadecimal digits": '"0123456789abcdef0123456789abcdef"',
    "no-break space": '"\\u00a0"',
    "zero width space": '"\\u200b\\u202e"',
    "U+0000": '"a\\u0000b"',
    "a lone surrogate": '"\\ud800"',
    "quotes": '"\'\\"\\\\ -- %s {0} $1"',
    "nothing": "null",
    "a boolean": "true",
    "a number": "-0.10e+5",
    "a long number": "1" + "0" * 120,
    "an empty list": "[]",
    "a list": '[null, "***"]',
    "an object": '{"": {"": "***"}}',
    "keys of the sync": '{"user_id": "auth0|other", "updated_at": "9999-12-31T00:00:00.000Z", "a0purpose": "test"}',
}
LARGE_FIELDS = ("name", "email", "user_metadata", "user_metadata.name", "made-up")
LARGE_VALUES = {
    "long": json.dumps("x" * 20_000),
    "500 lists": "[" * 500 + "]" * 500,
    "5,000 lists": "[" * 5000 + "]" * 5000,
    "5,000 objects": '{"a":' * 5000 + '"***"' + "}" * 5000,
}
IDS = (
    *("samlp|acme|a\u00a0b", "samlp|acme|a\u200bb", "samlp|acme|\u202eb", "samlp|acme|a\ufeff", "samlp|acme|é\u0301"),
    *("samlp|acme|***", "samlp|acme|a b/c?d#e%2F", "samlp|acme|" + "x" * 1000, "samlp|acme|\U0001f600", "oidc|a|' --"),
)


def by_refresh(profile: Json) -> str:
    return envelope.updated(json.dumps(profile).encode(), datetime(2026, 1, 15, 9, 0, 3, tzinfo=UTC))


def by_restore(profile: Json) -> str:
    moment = f"{profile['updated_at'][:23]}000Z"
    version = f"{moment}.1.{moment}.0123456789abcdef"
    stored = StoredUser(profile["user_id"], version, "refresh", "event", False, json.dumps(profile))
    return stored_user("restore", stored)


WAYS: dict[str, Callable[[Json], str]] = {
    "Management API": lambda profile: text(updated(profile)),
    "Event Stream": lambda profile: text(streamed("user.updated", profile)),
    "refresh": by_refresh,
    "restore": by_restore,
}


def with_value(profile: Json, field: str) -> Json:
    *parents, last = field.split(".")
    found = json.loads(json.dumps(profile))
    place = found
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = "@@"
    return dict(found)


def cases() -> Iterator[tuple[str, str]]:
    """Yield a user id and the body of the event after which the user must be blocked."""
    blocked: Json = {"blocked": True, "app_metadata": {"roles": []}}
    for way, event in WAYS.items():
        for fields, values in ((FIELDS, VALUES), (LARGE_FIELDS, LARGE_VALUES)):
            for field, (value, raw) in product(fields, values.items()):
                user_id = f"auth0|{way}|{field}|{value}"
                yield user_id, event(with_value(user(user_id, AFTER, **blocked), field)).replace(RAW, raw)
        for user_id in IDS:
            yield f"{user_id}|{way}"[:300], event(user(f"{user_id}|{way}"[:300], AFTER, **blocked))


def test_nobody_hides_from_the_stores(store: Store) -> None:
    expected = dict(cases())
    assert len(expected) > 1000
    before = [updated(user(user_id, BEFORE, blocked=False, app_metadata={"roles": ["admin"]})) for user_id in expected]
    senders = Senders(frozenset(SOURCES.split(",")))
    for events in (before, list(expected.values())):
        batch = collect(records(*events), history=True, senders=senders)
        assert batch.unread == []
        outcome = store.sink.apply(batch.changes, batch.history)
        assert (outcome.failed, outcome.stale, outcome.duplicate) == ({}, set(), set())
    found = users(store)
    hidden: dict[str, Any] = {
        user_id: found.get(user_id)
        for user_id in expected
        if user_id not in found or found[user_id].get("blocked") is not True or found[user_id]["app_metadata"]["roles"]
    }
    assert hidden == {}
