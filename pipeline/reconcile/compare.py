"""Pure: compare a user's row in Postgres with the item in DynamoDB, value by value."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from pipeline.delivery.consumers import Consumer
from pipeline.events import decode_deep
from pipeline.reconcile import Difference, Kind
from pipeline.reconcile.postgres import Row
from pipeline.sinks.dynamodb import read_number

Item = Mapping[str, Any]
"""An item in DynamoDB's own JSON."""

METADATA: Final = ("user_metadata", "app_metadata")
DOCUMENTS: Final = ("profile", *METADATA)
EMPTY: Final = {"M": dict[str, Any]()}

_json = msgspec.json.Decoder(float_hook=read_number)


def difference(row: Row | None, item: Item | None, *, unless_read: bool = True) -> Difference | None:
    """Return the difference of the stores about a user; None if they agree, or if neither has the user as a live one.

    With ``unless_read``, the values of a row count as different if it is too large to read.
    """
    lives = {Consumer.POSTGRES: row is not None and not row.deleted, Consumer.DYNAMODB: is_live(item)}
    if not any(lives.values()):
        return None
    versions = {Consumer.POSTGRES: row.version if row else "", Consumer.DYNAMODB: version_of(item)}
    user_id = row.user_id if row else item["user_id"]["S"] if item else ""
    behind, ahead = sorted(versions, key=versions.__getitem__)
    changed_at = max((moment for moment in (row and row.synced_at, written(item)) if moment), default=None)
    if row is not None and item is not None and versions[behind] == versions[ahead]:
        if all(lives.values()) and (same(row, item) if row.profile is not None else not unless_read):
            return None
        return Difference(Kind.DIFFERENT, None, user_id, changed_at)
    if (row if behind is Consumer.POSTGRES else item) is None:
        kind = Kind.MISSING
    else:
        kind = Kind.STALE if lives[ahead] else Kind.GHOST
    return Difference(kind, behind, user_id, changed_at)


def is_live(item: Item | None) -> bool:
    """Return whether DynamoDB has a user who is not deleted."""
    return item is not None and "deleted_at" not in item


def version_of(item: Item | None) -> str:
    """Return the version of an item; an empty text if there is none."""
    return str(item.get("version", {}).get("S", "")) if item else ""


def written(item: Item | None) -> datetime | None:
    """Return the time at which the sink wrote an item; None if it is not readable."""
    try:
        moment = datetime.fromisoformat(item["synced_at"]["S"] if item else "")
    except (KeyError, ValueError):  # no item, or changed by hand
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Documents = Mapping[str, Any]
"""The values of a user by the names in ``DOCUMENTS``."""


def of_user(body: str | bytes) -> Documents:
    """Return the documents of a user in Auth0's JSON; absent metadata are empty."""
    user = _decoded(body)
    if not isinstance(user, dict):  # changed by hand
        return {"profile": user} | dict.fromkeys(METADATA)
    metadata = {name: {} if user.get(name) is None else user[name] for name in METADATA}
    return {"profile": {key: value for key, value in user.items() if key not in METADATA}, **metadata}


def _decoded(text: str | bytes) -> Any:
    return decode_deep(_json, text.encode() if isinstance(text, str) else text)


def of_row(row: Row) -> Documents:
    """Return the documents of a row."""
    metadata = {name: _decoded(getattr(row, name)) for name in METADATA}
    return {**of_user(row.profile or "{}"), **metadata}


def same(row: Row, item: Item) -> bool:
    """Return whether a row and an item of one version have the same values."""
    return holds(item, of_row(row))


def holds(item: Item, documents: Documents) -> bool:
    """Return whether an item has these values, except those that it omits."""
    omitted = {name.get("S") for name in item.get("omitted", {}).get("L", ())}
    return all(equal(documents[name], item.get(name, EMPTY)) for name in DOCUMENTS if name not in omitted)


def equal(value: Any, stored: Mapping[str, Any]) -> bool:
    """Return whether a JSON value, floats as ``Decimal``, is what an attribute of DynamoDB holds.

    Numbers are equal by value, however they are written. The sink keeps a value that DynamoDB cannot hold as JSON text.
    """
    [(kind, content)] = stored.items()
    match kind:
        case "M":
            return (
                isinstance(value, dict)
                and value.keys() == content.keys()
                and all(equal(inner, content[key]) for key, inner in value.items())
            )
        case "L":
            return isinstance(value, list) and len(value) == len(content) and all(map(equal, value, content))
        case "S":
            return bool(value == content) if isinstance(value, str) else _same_json(value, content)
        case "N":
            return not isinstance(value, bool) and isinstance(value, int | Decimal) and value == Decimal(content)
        case "BOOL":
            return value is content
        case "NULL":
            return value is None
    return False


def _same_json(value: Any, text: str) -> bool:
    """Return whether a text is the JSON of a value that is none."""
    try:
        return type(decoded := _decoded(text)) is not str and bool(decoded == value)
    except (msgspec.DecodeError, RecursionError):
        return False
