"""Hashes of the users in Postgres, and the rows of single users."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from pipeline.data_api import TimedOut, TooLarge
from pipeline.delivery.envelope import INSTANT
from pipeline.reconcile import BUCKETS
from pipeline.reconcile.digests import Digest
from pipeline.stores.postgres import Reader

Range = tuple[str, str]
"""User ids between which a statement looks: above the first, up to and with the second."""

EVERYBODY: Final = ("", "\U0010ffff")
LISTED: Final = 200_000
"""Most users that one statement lists, about."""
LISTED_IN_CHUNKS: Final = 5_000
"""The same for the Data API, whose answers have 1 MiB at most."""
READ: Final = 100
"""Most users whose rows one statement reads."""
_RETRY_WITH: Final = 4
"""Divisor of a range after a timeout."""

# The versions of which a user consists, as in `pipeline.reconcile.canonical`.
_PARTS: Final = """coalesce(CASE WHEN jsonb_typeof(carried -> 'keys') = 'object' THEN (
    SELECT string_agg(DISTINCT part COLLATE "C", ' ' ORDER BY part COLLATE "C")
    FROM (SELECT carried ->> 'whole' UNION ALL SELECT jsonb_object_keys(carried -> 'keys')) AS parts (part)
) END, '')"""
_VERSIONS: Final = f"version || ' ' || {_PARTS} || ' ' || user_id"
# A profile that is no object was written by hand, and must not fail the statement.
_PROFILE: Final = """CASE jsonb_typeof(profile)
    WHEN 'object' THEN profile - ARRAY['user_metadata', 'app_metadata'] ELSE profile END"""
# The time in a version is `updated_at`; see `pipeline.changes.version`.
_UPDATES: Final = f"substr(version, 1, {INSTANT}) || ' ' || user_id"
# Without the trailing zeros of numbers, which DynamoDB drops; `pipeline.reconcile.canonical` replaces the same.
_CONTENTS: Final = rf"""regexp_replace(
    concat_ws(chr(10), {_VERSIONS}, {_PROFILE}, user_metadata, app_metadata),
    '(\.[0-9]*[1-9])0+([],}}])|\.0+([],}}])', '\1\2\3', 'g')"""
_HASHED: Final = """
SELECT user_id, get_byte(place, 0) * 16 + get_byte(place, 1) / 16 AS bucket,
    ('x' || encode(substr(sha256(convert_to({}, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint AS hash
FROM (
    SELECT *, sha256(convert_to(user_id, 'UTF8')) AS place
    FROM auth0.users WHERE user_id > %s AND user_id <= %s AND deleted_at IS NULL
) AS live
"""
# OFFSET 0 makes Postgres compute a profile, which the view puts together, once for each row; and then the hashes, so
# that it groups numbers instead of sorting whole rows.
_DIGESTS: Final = "SELECT bucket, count(*) AS users, sum(hash) AS sum FROM ({} OFFSET 0) AS hashed GROUP BY bucket"
_USERS: Final = """
SELECT user_id, hash FROM ({}) AS hashed
WHERE bucket = ANY(ARRAY(SELECT jsonb_array_elements_text(%s::jsonb)::int))
"""
_LAST: Final = """
SELECT max(user_id) AS last
FROM (SELECT user_id FROM auth0.users WHERE user_id > %s ORDER BY user_id LIMIT %s) AS page
"""
_ROWS: Final = """
SELECT user_id, version, source, event_id, deleted_at IS NOT NULL AS deleted, synced_at,
    profile::text, user_metadata::text, app_metadata::text, carried::text
FROM auth0.users WHERE user_id = ANY(ARRAY(SELECT jsonb_array_elements_text(%s::jsonb)))
"""
_WITHOUT_DOCUMENTS: Final = _ROWS.replace(
    "profile::text, user_metadata::text, app_metadata::text", "NULL AS profile, '' AS user_metadata, '' AS app_metadata"
)


class Row(NamedTuple):
    """A row of Postgres; its documents are JSON text."""

    user_id: str
    version: str
    source: str
    event_id: str
    deleted: bool
    synced_at: datetime
    profile: str | None
    """None if the row is larger than the Data API returns, which is 64 KB."""
    user_metadata: str
    app_metadata: str
    carried: str | None


class PostgresUsers:
    """The users in Postgres, hashed by their versions, or also by their contents, or by their last updates alone.

    The reader's ``chunk`` is the number of rows that one statement hashes. Without one, a single statement hashes all
    of them, and so reads the table in the order of its pages.
    """

    def __init__(self, reader: Reader, *, contents: bool = False, updates: bool = False) -> None:
        self._reader = reader
        self._chunk = reader.chunk
        self.contents = contents
        hashed = _HASHED.format(_UPDATES if updates else _CONTENTS if contents else _VERSIONS)
        self._digests = _DIGESTS.format(hashed.replace(") AS live", "OFFSET 0) AS live"))
        self._users = _USERS.format(hashed)
        self._ranges: list[Range] = []

    def digests(self, update: Callable[[int], None] = lambda _: None) -> dict[int, Digest]:
        """Return the digest of each bucket that has live users; call ``update`` with the number of users so far."""
        found: dict[int, Digest] = {}
        self._ranges, users = [], 0
        for rows in self._answers():
            for row in rows:
                before = found.get(row["bucket"], Digest(0, 0))
                found[row["bucket"]] = Digest(before.users + row["users"], (before.sum + int(row["sum"])) % 2**64)
                users += row["users"]
            update(users)
        return found

    def _answers(self) -> Iterator[list[dict[str, Any]]]:
        """Yield the digests of one range after the other, and keep the ranges."""
        after = ""
        while last := self._last(after):
            try:
                rows = self._reader.rows(self._digests, after, last)
            except TimedOut:
                if not self._chunk or self._chunk < _RETRY_WITH:
                    raise
                self._chunk //= _RETRY_WITH
                continue
            yield rows
            self._ranges.append((after, last))
            after = last
            if self._chunk is None:
                return

    def _last(self, after: str) -> str | None:
        """Return the last user id of the range that begins after a user id; None if there are no more users."""
        if self._chunk is None:
            return EVERYBODY[1]
        [row] = self._reader.rows(_LAST, after, self._chunk)
        last: str | None = row["last"]
        return last

    def groups(self, buckets: Sequence[int], users: int) -> Iterator[Sequence[int]]:
        """Yield groups of buckets, each for one statement; ``users`` is about the number of all users."""
        looked_at, most = (users, LISTED) if self._chunk is None else (self._chunk, LISTED_IN_CHUNKS)
        size = max(most * BUCKETS // max(looked_at, 1), 1)
        for start in range(0, len(buckets), size):
            yield buckets[start : start + size]

    def users(self, buckets: Sequence[int]) -> Iterator[tuple[str, int]]:
        """Yield id and hash of each user in the buckets of one of ``groups``."""
        for between in self._ranges:
            yield from self._listed(between, buckets)

    def _listed(self, between: Range, buckets: Sequence[int]) -> Iterator[tuple[str, int]]:
        try:
            rows = self._reader.rows(self._users, *between, _json(buckets))
        except TooLarge:
            if len(buckets) == 1:
                raise
            middle = len(buckets) // 2
            yield from self._listed(between, buckets[:middle])
            yield from self._listed(between, buckets[middle:])
        else:
            yield from ((row["user_id"], row["hash"] % 2**64) for row in rows)

    def read(self, user_ids: Sequence[str]) -> dict[str, Row]:
        """Return the rows of users, tombstones included, by id."""
        try:
            rows = self._reader.rows(_ROWS, _json(user_ids))
        except TooLarge:
            if len(user_ids) > 1:
                middle = len(user_ids) // 2
                return self.read(user_ids[:middle]) | self.read(user_ids[middle:])
            rows = self._reader.rows(_WITHOUT_DOCUMENTS, _json(user_ids))
        return {row["user_id"]: Row(**row) for row in rows}


def _json(values: Sequence[str] | Sequence[int]) -> str:
    return msgspec.json.encode(list(values)).decode()
