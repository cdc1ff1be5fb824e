"""The archive's objects in S3, with all their versions."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime
from functools import wraps
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Protocol, TypeVar

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

P = ParamSpec("P")
T = TypeVar("T")

READS: Final = 3
"""Times that an object is read, if the connection breaks."""
CHUNK: Final = 1 << 20
GONE: Final = ("NoSuchKey", "NoSuchVersion", "404")
EXISTS: Final = ("PreconditionFailed", "ConditionalRequestConflict")
"""Errors of a conditional write: the object is there, or another one is being written."""


def read_again(read: Callable[P, T]) -> Callable[P, T]:
    """Make a function read an object again if the connection breaks.

    botocore retries a request, but not the reading of its answer.
    """

    @wraps(read)
    def read_until_whole(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(READS - 1):
            with suppress(BotoCoreError):
                return read(*args, **kwargs)
        return read(*args, **kwargs)

    return read_until_whole


class Version(msgspec.Struct, frozen=True):
    """A version of an object, or a delete marker."""

    key: str
    id: str
    size: int
    modified: datetime
    latest: bool
    deleted: bool = False
    """True for a delete marker."""


class Objects(Protocol):
    """A bucket that manifests and their verification read."""

    def versions(self, prefix: str) -> Iterator[Version]:
        """Return all versions and delete markers, ordered by key."""

    def below(self, prefix: str) -> list[str]:
        """Return the prefixes and keys one level below."""

    def digest(self, version: Version) -> str | None:
        """Return the SHA-256 of a version's bytes, or None if it is gone."""

    def read(self, version: Version) -> bytes:
        """Return a version's bytes."""


class Store(Objects, Protocol):
    """A bucket that the manifest function also writes."""

    def create(self, key: str, content: bytes, lock_until: datetime | None) -> bool:
        """Write an object, unless the key is taken; return whether it was written."""

    def lock(self, version: Version, until: datetime) -> None:
        """Lock a version in governance mode: only the right to bypass it can delete the version."""


class Bucket:
    """A `Store` in S3."""

    def __init__(self, s3: "S3Client", name: str) -> None:
        self._s3 = s3
        self.name = name

    def versions(self, prefix: str) -> Iterator[Version]:
        """See `Objects`."""
        for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=prefix):
            found = [
                Version(one["Key"], one["VersionId"], one.get("Size", 0), one["LastModified"], one["IsLatest"], deleted)
                for deleted, kind in ((True, "DeleteMarkers"), (False, "Versions"))
                for one in page.get(kind, [])  # type: ignore[attr-defined]  # two types, by the literal key
            ]
            yield from sorted(found, key=lambda version: version.key)

    def below(self, prefix: str) -> list[str]:
        """See `Objects`."""
        found: set[str] = set()
        pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=prefix, Delimiter="/")
        for page in pages:
            found |= {one["Prefix"] for one in page.get("CommonPrefixes", [])}
            found |= {one["Key"] for one in page.get("Versions", [])}
        return sorted(found)

    def digest(self, version: Version) -> str | None:
        """See `Objects`. Reads the object in chunks, whatever its size."""
        try:
            return self._digest(version)
        except ClientError as error:
            if error.response["Error"]["Code"] in GONE:
                return None
            raise

    @read_again
    def _digest(self, version: Version) -> str:
        found = sha256()
        for chunk in self._get(version)["Body"].iter_chunks(CHUNK):
            found.update(chunk)
        return found.hexdigest()

    def read(self, version: Version) -> bytes:
        """See `Objects`."""
        content, _ = self.read_with_answer(version)
        return content

    @read_again
    def read_with_answer(self, version: Version) -> tuple[bytes, Any]:
        """Return a version's bytes, and S3's answer, which has its headers."""
        answer = self._get(version)
        return answer["Body"].read(), answer

    def _get(self, version: Version) -> Any:
        return self._s3.get_object(Bucket=self.name, Key=version.key, VersionId=version.id)

    def create(self, key: str, content: bytes, lock_until: datetime | None) -> bool:
        """See `Store`."""
        lock: Any = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": lock_until} if lock_until else {}
        try:
            self._s3.put_object(
                Bucket=self.name, Key=key, Body=content, ContentType="application/jsonl", IfNoneMatch="*", **lock
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in EXISTS:
                return False
            raise
        return True

    def lock(self, version: Version, until: datetime) -> None:
        """See `Store`."""
        self._s3.put_object_retention(
            Bucket=self.name,
            Key=version.key,
            VersionId=version.id,
            Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until},
        )


class Layout(msgspec.Struct, frozen=True):
    """The prefixes of the archive: `logs/dt=…/` and `errors/TYPE/dt=…/`."""

    prefix: str
    error_prefix: str

    def parents(self, objects: Objects) -> list[str]:
        """Return the prefixes that hold days: the archive's, and one for each type of error."""
        return [self.prefix, *(one for one in objects.below(self.error_prefix) if one.endswith("/"))]

    def days(self, objects: Objects, parents: Sequence[str]) -> tuple[list[date], list[str]]:
        """Return the days that have objects, and prefixes and keys that are below no day."""
        days, others = set(), [one for one in objects.below(self.error_prefix) if not one.endswith("/")]
        for parent in parents:
            for one in objects.below(parent):
                day = _day(one.removeprefix(f"{parent}dt=").removesuffix("/"))
                if day and one == f"{parent}dt={day}/":
                    days.add(day)
                else:
                    others.append(one)
        return sorted(days), others


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
