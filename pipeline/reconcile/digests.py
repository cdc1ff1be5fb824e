"""Pure: hashes of users by bucket, and the users themselves in little memory."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pipeline.reconcile import BUCKETS

HASH_BYTES = 8


class Digest(NamedTuple):
    """The users of a bucket: their number, and the sum of their hashes modulo 2^64."""

    users: int
    sum: int


NOBODY = Digest(0, 0)


def bucket_of(user_id: str) -> int:
    """Return the bucket of a user; ``pipeline.reconcile.postgres`` computes the same."""
    first, second = hashlib.sha256(user_id.encode()).digest()[:2]
    return first << 4 | second >> 4


def hash_of(text: str) -> bytes:
    """Return the first 64 bits of a text's SHA-256; ``pipeline.reconcile.postgres`` computes the same."""
    return hashlib.sha256(text.encode()).digest()[:HASH_BYTES]


def differing(one: Mapping[int, Digest], other: Mapping[int, Digest]) -> list[int]:
    """Return the buckets that differ."""
    return [bucket for bucket in range(BUCKETS) if one.get(bucket, NOBODY) != other.get(bucket, NOBODY)]


class Listing:
    """Users and their hashes by bucket, in 45 MB for a million users."""

    def __init__(self) -> None:
        self._rows: dict[int, bytearray] = {}
        """Bucket to its users: the length of the id in two bytes, the id, the hash."""
        self._digests: dict[int, Digest] = {}

    def add(self, user_id: str, text: str) -> None:
        """Add a user; equal users have equal texts."""
        encoded, hashed, bucket = user_id.encode(), hash_of(text), bucket_of(user_id)
        rows = self._rows.setdefault(bucket, bytearray())
        rows += len(encoded).to_bytes(2) + encoded + hashed
        users, total = self._digests.get(bucket, NOBODY)
        self._digests[bucket] = Digest(users + 1, (total + int.from_bytes(hashed)) % 2**64)

    def digests(self) -> dict[int, Digest]:
        """Return the digest of each bucket that has users."""
        return self._digests

    def users(self, bucket: int) -> Iterator[tuple[str, int]]:
        """Yield each user of a bucket with its hash."""
        rows = self._rows.get(bucket, bytearray())
        place = 0
        while place < len(rows):
            start = place + 2
            end = start + int.from_bytes(rows[place:start])
            place = end + HASH_BYTES
            yield rows[start:end].decode(), int.from_bytes(rows[end:place])
