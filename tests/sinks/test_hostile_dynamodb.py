"""Any user reads back from DynamoDB as it was sent, or in the ways that pipeline/sinks/dynamodb.py names."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer
from hypothesis import given, settings

from pipeline.changes import Outcome
from pipeline.sinks.dynamodb import MAX_ITEM_BYTES, DynamoDBSink, item, size
from tests import hostile
from tests.hostile import plain, read
from tests.sinks.stored import Table
from tests.strategies import against_a_server, changes, deleted, streamed

DEPTH = 32


def fits(number: Decimal) -> bool:
    """Return whether DynamoDB takes a number (38 digits, 1E-130 to 9.99E+125), and boto3 can read its answer."""
    significant = len("".join(map(str, number.as_tuple().digits)).strip("0"))
    return not number or (significant <= 38 and -128 <= number.adjusted() < 38)


def allowed(attribute: dict[str, Any], depth: int = 1) -> bool:
    """Return whether DynamoDB takes a value at this depth; the emulator does not check everything."""
    [(kind, content)] = attribute.items()
    match kind:
        case "N":
            return depth <= DEPTH and fits(Decimal(content))
        case "M":
            return "" not in content and all(allowed(value, depth + 1) for value in content.values())
        case "L":
            return all(allowed(value, depth + 1) for value in content)
        case _:
            return depth <= DEPTH


def same(stored: Any, sent: Any, depth: int = 1) -> bool:
    """Return whether ``stored`` equals the sent value, but for the text of values that DynamoDB cannot store."""
    match sent:
        case dict() | list() if depth >= DEPTH or (isinstance(sent, dict) and "" in sent):
            return isinstance(stored, str) and read(stored) == sent
        case dict():
            return stored.keys() == sent.keys() and all(same(stored[key], sent[key], depth + 1) for key in sent)
        case list():
            pairs = zip(stored, sent, strict=True)
            return isinstance(stored, list) and all(same(one, other, depth + 1) for one, other in pairs)
        case Decimal() if not fits(sent):
            return isinstance(stored, str) and Decimal(stored) == sent
        case Decimal():
            return isinstance(stored, Decimal) and stored == sent
        case _:
            return stored == sent and isinstance(stored, bool) == isinstance(sent, bool)


def holds(found: dict[str, Any], user: hostile.User) -> bool:
    """Return whether the item ``found`` holds ``user``."""
    sent = plain(user.body)
    metadata = {name: sent.pop(name, None) for name in ("user_metadata", "app_metadata")}
    return same(found["profile"], sent) and all(
        same(found[name], {} if value is None else value) for name, value in metadata.items()
    )


@settings(against_a_server, max_examples=200)
@given(hostile.messages)
def test_any_user_becomes_a_valid_item(case: tuple[hostile.User, str, bool]) -> None:
    user, carrier, ascii_only = case
    [change] = changes(hostile.message(user, carrier, ascii_only))
    attributes = item(change)
    assert all(allowed(value) for value in attributes.values())
    assert sum(len(name) + size(value) for name, value in attributes.items()) <= MAX_ITEM_BYTES
    read_item: Callable[[Any], Any] = TypeDeserializer().deserialize
    assert holds({name: read_item(value) for name, value in attributes.items()}, user)


@settings(against_a_server, max_examples=40)
@given(hostile.messages)
def test_any_user_is_stored(sink: DynamoDBSink, table: Table, case: tuple[hostile.User, str, bool]) -> None:
    user, carrier, ascii_only = case
    table.empty()
    assert sink.apply(changes(hostile.message(user, carrier, ascii_only))) == Outcome()
    [(user_id, found)] = table.items.items()
    assert user_id == user.user_id
    assert holds(found, user)


@settings(against_a_server, max_examples=40)
@given(hostile.user_ids, hostile.times())
def test_any_id_can_be_deleted(sink: DynamoDBSink, table: Table, user_id: str, time: tuple[str, datetime]) -> None:
    written, moment = time
    table.empty()
    for event in (deleted(user_id, date=written), streamed("user.deleted", {"user_id": user_id}, time=written)):
        assert sink.apply(changes(event)).failed == {}
        [(found, item)] = table.items.items()
        assert (found, item["deleted_at"]) == (user_id, f"{moment.isoformat(timespec='microseconds')[:26]}Z")
