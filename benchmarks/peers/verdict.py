"""Compare the rows of a store with the newest change of each user, by the total order of ``pipeline.changes``."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

import msgspec
import psycopg

from benchmarks.records import Records
from pipeline.changes import Snapshot, Tombstone, read

RIGHT = "right"
MISSING = "missing"
EXTRA = "of nobody"
REVIVED = "deleted, but live again"
STALE = "an older row"
TIE = "the wrong one of equal times"
ALTERED = "the right event, but other content"


class Kept(NamedTuple):
    """The row of a user, as a store has it or as it must be."""

    event_id: str
    updated_at: datetime
    deleted: bool
    profile: Any


def whole(record: Mapping[str, Any]) -> bool:
    """Return whether a record is one whole change of a user: peers cannot merge parts, or fetch a user."""
    changes = read(record["body"])
    return len(changes) == 1 and isinstance(changes[0], Snapshot | Tombstone) and changes[0].carried is None


def expected(records: Records) -> dict[str, Kept]:
    """Return the newest change of each user."""
    newest: dict[str, Snapshot | Tombstone] = {}
    for record in records:
        for change in read(record["body"]):
            if not isinstance(change, Snapshot | Tombstone):
                continue
            known = newest.get(change.user_id)
            if known is None or known.version < change.version:
                newest[change.user_id] = change
    return {user_id: _kept(change) for user_id, change in newest.items()}


def _kept(change: Snapshot | Tombstone) -> Kept:
    profile = msgspec.json.decode(change.profile) if isinstance(change, Snapshot) else {}
    updated_at = datetime.fromisoformat(change.updated_at)
    return Kept(change.event_id, updated_at, isinstance(change, Tombstone), profile)


def stored(connection: psycopg.Connection, relation: LiteralString) -> dict[str, Kept]:
    """Return the rows of a table or view of users."""
    found = connection.execute(f"SELECT user_id, event_id, updated_at, deleted_at IS NOT NULL, profile FROM {relation}")
    return {user_id: Kept(*rest) for user_id, *rest in found}


def compare(wanted: Mapping[str, Kept], found: Mapping[str, Kept]) -> Counter[str]:
    """Count the users by the verdict about their rows."""
    return Counter(_judge(wanted.get(user_id), found.get(user_id)) for user_id in _all(wanted, found))


def _all(*mappings: Iterable[str]) -> set[str]:
    return {user_id for mapping in mappings for user_id in mapping}


def _judge(wanted: Kept | None, found: Kept | None) -> str:
    if wanted is None:
        return EXTRA
    if found is None:
        return MISSING
    if wanted.deleted and not found.deleted:
        return REVIVED
    if found.event_id != wanted.event_id:
        return TIE if found.updated_at == wanted.updated_at else STALE
    return RIGHT if found == wanted else ALTERED
