"""Erase lines from objects of S3, in every version of them, and nothing else.

A new version without the lines is written first and read back; then the versions that have them are deleted. A run that
ends in between leaves both, and the next one goes on: it looks at every version, not only at the current one.
"""

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from pipeline.archive.records import Erased, Record
from pipeline.errors import Auth0SyncError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

GZIP: Final = b"\x1f\x8b"
PARQUET: Final = b"PAR1"
UNREADABLE: Final = (gzip.BadGzipFile, EOFError, zlib.error)
KEPT: Final = ("ContentType", "ContentEncoding", "ContentDisposition", "ContentLanguage", "Metadata", "StorageClass")
"""What an object keeps beside its content."""

Matches = Callable[[bytes], bool]


class NotWritten(Auth0SyncError):
    """S3 returned an object otherwise than it was sent. Its version before is unchanged: restore that one."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of an object, or a delete marker."""

    key: str
    id: str
    latest: bool
    marker: bool


@dataclass
class Report:
    """What was found in objects, and what was erased."""

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


class Objects:
    """The objects of a bucket."""

    def __init__(self, s3: "S3Client", bucket: str, *, locked: bool = False) -> None:
        self._s3, self.bucket = s3, bucket
        # The right to pass a lock in governance mode is the eraser's; without a lock, S3 refuses the header to others.
        self._delete: dict[str, Any] = {"BypassGovernanceRetention": True} if locked else {}

    def versions(self, prefix: str) -> Iterator[list[Version]]:
        """Yield the versions and delete markers of each key below a prefix, the newest first."""
        found = self._versions(prefix)
        for _, versions in groupby(found, key=lambda version: version.key):
            yield sorted(versions, key=lambda version: not version.latest)

    def _versions(self, prefix: str) -> Iterator[Version]:
        for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix):
            here: list[Any] = [(one, False) for one in page.get("Versions", [])]
            here += [(one, True) for one in page.get("DeleteMarkers", [])]
            for one, marker in sorted(here, key=lambda pair: pair[0]["Key"].encode()):
                yield Version(one["Key"], one["VersionId"], one["IsLatest"], marker)

    def read(self, version: Version) -> tuple[bytes, Any]:
        """Return the bytes of a version, and S3's answer."""
        answer = self._s3.get_object(Bucket=self.bucket, Key=version.key, VersionId=version.id)
        return answer["Body"].read(), answer

    def delete(self, version: Version) -> None:
        """Delete a version for good."""
        self._s3.delete_object(Bucket=self.bucket, Key=version.key, VersionId=version.id, **self._delete)

    def erase_lines(
        self,
        versions: Sequence[Version],
        concerns: Matches,
        may_concern: Matches,
        report: Report,
        record: Record | None,
    ) -> None:
        """Erase the lines about a person from an object and its old versions; only look without ``record``."""
        try:
            self._erase_lines(versions, concerns, may_concern, report, record)
        except UNREADABLE as error:
            report.problems.append(f"{versions[0].key} cannot be decompressed, and is as it was: {error}")

    def _erase_lines(
        self,
        versions: Sequence[Version],
        concerns: Matches,
        may_concern: Matches,
        report: Report,
        record: Record | None,
    ) -> None:
        current = next((one for one in versions if one.latest and not one.marker), None)
        removed, kept = 0, None
        if current:
            content, answer = self.read(current)
            lines = content_lines(content)
            kept = [line for line in lines if not concerns(line)]
            removed = len(lines) - len(kept)
            report.lines += removed
            report.doubtful += sum(map(may_concern, kept))
            if removed and record:
                self._rewrite(current, content, answer, kept, record)
                self.delete(current)
                report.erased_lines += removed
        old = [one for one in versions if one is not current and not one.marker]
        found = [self._erase_old(version, kept, concerns, report, record) for version in old]
        report.objects += bool(removed or any(found))

    def _rewrite(self, version: Version, content: bytes, answer: Any, kept: list[bytes], record: Record) -> None:
        """Write an object without some of its lines, and read it back. A deleted object is deleted again."""
        body = _packed(kept, content)
        after = sha256(body).hexdigest()
        record([Erased(version.key, sha256(content).hexdigest(), after if kept else None)])
        if kept:
            same = {name: answer[name] for name in KEPT if answer.get(name)}
            unchanged = {"IfMatch": answer["ETag"]} if version.latest else {"IfNoneMatch": "*"}
            put = self._s3.put_object(Bucket=self.bucket, Key=version.key, Body=body, **same, **unchanged)
            written, _ = self.read(Version(version.key, put["VersionId"], latest=True, marker=False))
            if sha256(written).hexdigest() != after or content_lines(written) != kept:
                raise NotWritten(version.key)
        if not kept or not version.latest:
            self._s3.delete_object(Bucket=self.bucket, Key=version.key)  # a delete marker

    def _erase_old(
        self,
        version: Version,
        current: list[bytes] | None,
        concerns: Matches,
        report: Report,
        record: Record | None,
    ) -> bool:
        """Delete an old version with lines about the person, if the object has all of its other lines.

        Of a deleted object, which may be deleted by mistake, an old version keeps the other lines.
        """
        content, answer = self.read(version)
        lines = content_lines(content)
        kept = [line for line in lines if not concerns(line)]
        if len(kept) == len(lines):
            return False
        report.versions += 1
        if record:
            if current is None and kept:
                self._rewrite(version, content, answer, kept, record)
            elif Counter(kept) - Counter(current or ()):
                report.problems.append(f"{version.key}: version {version.id} has lines that the object lacks; it stays")
                return True
            self.delete(version)
            report.erased_versions += 1
        return True

    def erase_whole(self, versions: Sequence[Version], may_concern: Matches, report: Report, *, act: bool) -> None:
        """Delete the versions of an object that may be about a person, such as the result of a query."""
        found = 0
        for version in versions:
            if version.marker:
                continue
            content, _ = self.read(version)
            if content.startswith(PARQUET):
                report.problems.append(f"{version.key} is Parquet, which is not searched")
                continue
            try:
                about = may_concern(_unpacked(content))
            except UNREADABLE as error:
                report.problems.append(f"{version.key} cannot be decompressed, and is as it was: {error}")
                continue
            if not about:
                continue
            found += 1
            report.versions += 1
            if act:
                self.delete(version)
                report.erased_versions += 1
        report.objects += bool(found)


def content_lines(content: bytes) -> list[bytes]:
    """Return the lines of an object with their ends, decompressed if it is gzip."""
    return io.BytesIO(_unpacked(content)).readlines()


def _unpacked(content: bytes) -> bytes:
    return gzip.decompress(content) if content.startswith(GZIP) else content


def _packed(lines: Sequence[bytes], like: bytes) -> bytes:
    content = b"".join(lines)
    return gzip.compress(content, mtime=0) if like.startswith(GZIP) else content
