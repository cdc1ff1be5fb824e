"""Erase lines from objects of S3, in every version of them, and nothing else.

The eraser writes a new version without the lines, reads it back, and then deletes the versions that have them. A run
that ends in between leaves both; the next run finishes it, because it reads every version of an object.
"""

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from pipeline.archive.objects import Bucket, Version
from pipeline.archive.records import Erased, Record
from pipeline.errors import Auth0SyncError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

GZIP: Final = b"\x1f\x8b"
PARQUET: Final = b"PAR1"
UNREADABLE: Final = (gzip.BadGzipFile, EOFError, zlib.error)
KEPT: Final = ("ContentType", "ContentEncoding", "ContentDisposition", "ContentLanguage", "Metadata", "StorageClass")
"""Attributes that a rewritten object keeps."""

Matches = Callable[[bytes], bool]


class NotWritten(Auth0SyncError):
    """S3 returned other bytes than the command wrote. The version before is unchanged: restore it."""


@dataclass
class Report:
    """Counts of data about the person in objects: found, and erased."""

    objects: int = 0
    """Objects with data about the person in any version."""
    lines: int = 0
    """Lines about the person, in current versions."""
    versions: int = 0
    """Old versions with data about the person."""
    erased_lines: int = 0
    erased_versions: int = 0
    doubtful: int = 0
    """Lines that hold an identifier inside a longer word; they stay."""
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a version, and its lines."""

    version: Version
    body: bytes
    answer: Any
    """S3's answer, with the headers."""
    kept: list[bytes]
    """The lines that are not about the person."""
    removed: int
    """The number of lines about the person."""


class RewritableBucket(Bucket):
    """A bucket whose objects an eraser rewrites and deletes."""

    def __init__(self, s3: "S3Client", bucket: str, *, locked: bool = False) -> None:
        super().__init__(s3, bucket)
        # The right to pass a lock in governance mode is the eraser's; without a lock, S3 refuses the header to others.
        self._delete: dict[str, Any] = {"BypassGovernanceRetention": True} if locked else {}

    def by_key(self, prefix: str) -> Iterator[list[Version]]:
        """Yield the versions and delete markers of each key below a prefix."""
        for _, versions in groupby(self.versions(prefix), attrgetter("key")):
            yield list(versions)

    def delete(self, version: Version) -> None:
        """Delete a version for good."""
        self._s3.delete_object(Bucket=self.name, Key=version.key, VersionId=version.id, **self._delete)

    def rewrite(self, content: Content, record: Record) -> None:
        """Write an object with the kept lines only, and read it back. A deleted object is deleted again."""
        version, kept = content.version, content.kept
        body = _packed(kept, content.body)
        after = sha256(body).hexdigest()
        record([Erased(version.key, sha256(content.body).hexdigest(), after if kept else None)])
        if kept:
            same = {name: content.answer[name] for name in KEPT if content.answer.get(name)}
            unchanged = {"IfMatch": content.answer["ETag"]} if version.latest else {"IfNoneMatch": "*"}
            put = self._s3.put_object(Bucket=self.name, Key=version.key, Body=body, **same, **unchanged)
            written = self.read(structs.replace(version, id=put["VersionId"]))
            if sha256(written).hexdigest() != after or content_lines(written) != kept:
                raise NotWritten(version.key)
        if not kept or not version.latest:
            self._s3.delete_object(Bucket=self.name, Key=version.key)  # a delete marker


@dataclass
class LineEraser:
    """Erases the lines about a person from objects; only looks without `record`."""

    objects: RewritableBucket
    concerns: Matches
    may_concern: Matches
    record: Record | None
    report: Report = field(default_factory=Report)

    def erase(self, versions: Sequence[Version]) -> None:
        """Erase the lines from all versions of an object; report an object that cannot be decompressed."""
        try:
            current = next((self._read(one) for one in versions if one.latest and not one.deleted), None)
            in_current = self._erase_current(current) if current else False
            old = [one for one in versions if not one.latest and not one.deleted]
            in_old = [self._erase_old(self._read(one), current) for one in old]
        except UNREADABLE as error:
            self.report.problems.append(_unreadable(versions[0], error))
        else:
            self.report.objects += in_current or any(in_old)

    def _read(self, version: Version) -> Content:
        body, answer = self.objects.read_with_answer(version)
        lines = content_lines(body)
        kept = [line for line in lines if not self.concerns(line)]
        return Content(version, body, answer, kept, len(lines) - len(kept))

    def _erase_current(self, current: Content) -> bool:
        """Return whether the object has lines about the person; erase them."""
        self.report.lines += current.removed
        self.report.doubtful += sum(map(self.may_concern, current.kept))
        if current.removed and self.record:
            self.objects.rewrite(current, self.record)
            self.objects.delete(current.version)
            self.report.erased_lines += current.removed
        return current.removed > 0

    def _erase_old(self, old: Content, current: Content | None) -> bool:
        """Return whether an old version has lines about the person; delete it if the object has all of its other lines.

        Of a deleted object, which may be deleted by mistake, an old version keeps the other lines.
        """
        if not old.removed:
            return False
        self.report.versions += 1
        if not self.record:
            return True
        version = old.version
        if current is None and old.kept:
            self.objects.rewrite(old, self.record)
        elif Counter(old.kept) - Counter(current.kept if current else []):
            lacks = f"{version.key}: version {version.id} has lines that the object lacks; it stays"
            self.report.problems.append(lacks)
            return True
        self.objects.delete(version)
        self.report.erased_versions += 1
        return True


def erase_whole(
    objects: RewritableBucket, versions: Sequence[Version], may_concern: Matches, report: Report, *, act: bool
) -> None:
    """Delete the versions of an object that may be about a person, such as the result of a query."""
    found = 0
    for version in versions:
        if version.deleted:
            continue
        content = objects.read(version)
        if content.startswith(PARQUET):
            report.problems.append(f"{version.key} is Parquet, which is not searched")
            continue
        try:
            about = may_concern(_unpacked(content))
        except UNREADABLE as error:
            report.problems.append(_unreadable(version, error))
            continue
        if not about:
            continue
        found += 1
        report.versions += 1
        if act:
            objects.delete(version)
            report.erased_versions += 1
    report.objects += bool(found)


def _unreadable(version: Version, error: Exception) -> str:
    return f"{version.key} cannot be decompressed, and was not changed: {error}"


def content_lines(content: bytes) -> list[bytes]:
    """Return the lines of an object with their ends, decompressed if it is gzip."""
    return io.BytesIO(_unpacked(content)).readlines()


def _unpacked(content: bytes) -> bytes:
    return gzip.decompress(content) if content.startswith(GZIP) else content


def _packed(lines: Sequence[bytes], like: bytes) -> bytes:
    content = b"".join(lines)
    return gzip.compress(content, mtime=0) if like.startswith(GZIP) else content
