"""The state of downloads from Auth0 in the archive's bucket, so that a killed command goes on, on any machine."""

import gzip
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError
from msgspec import Struct

from pipeline.archive.objects import EXISTS
from pipeline.backfill.objects import PREFIX, code, decoded
from pipeline.backfill.slices import Report
from pipeline.changes import Export
from pipeline.errors import CommandError
from pipeline.events import decode_deep, storable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef


class Job(Struct, frozen=True):
    """An export job of Auth0."""

    id: str
    connection: str
    """Name of the connection that it exports; empty for all."""
    first: int
    """Lines of the jobs before this one."""


class Download(Struct, frozen=True):
    """The state of an export's download from Auth0: after a killed run, the next one goes on with it."""

    export: Export
    fields: tuple[str, ...]
    """The fields that its jobs name."""
    unnamed: tuple[str, ...] = ()
    """Keys of the sample that no job can name."""
    jobs: tuple[Job, ...] = ()
    report: Report = msgspec.field(default_factory=Report)
    """The report of the lines in the slices so far."""
    complete: bool = False
    """True if all slices are there."""
    over: bool = False
    """True if the next run starts another export: this one is loaded, or its job has failed."""


class Kept(Struct, frozen=True):
    """A download in the bucket."""

    download: Download
    etag: str
    at: datetime
    """The time of its last write."""


class _User(Struct, frozen=True):
    user_id: str


_download = msgspec.json.Decoder(Download)
_user = msgspec.json.Decoder(_User)


class Downloads:
    """The downloads in a bucket."""

    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self.s3, self.bucket = s3, bucket

    def find(self, key: str) -> Kept | None:
        """Return the download of a key, if there is one."""
        if (answer := find(self.s3, self.bucket, key)) is None:
            return None
        found = decoded(_download, answer["Body"].read(), self.bucket, key)
        return Kept(found, answer["ETag"], answer["LastModified"])

    def put(self, key: str, download: Download, etag: str = "") -> str:
        """Replace the state that has this ETag, or create the first one; return the new ETag.

        Raises ``CommandError`` if another command has written the state meanwhile.
        """
        unchanged = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        if (written := put_if(self.s3, self.bucket, key, msgspec.json.encode(download), **unchanged)) is None:
            raise CommandError(
                "another command downloads the same export at this moment, so this one ends. Wait for the other, or "
                "run this again."
            )
        return written

    def put_sample(self, export: Export, sample: Mapping[str, bytes]) -> None:
        """Write the users of the sample, each in a line, beside the slices."""
        content = gzip.compress(b"".join(body + b"\n" for body in sample.values()))
        self.s3.put_object(Bucket=self.bucket, Key=_sample_key(export.export_id), Body=content)

    def sample(self, export: Export) -> dict[str, bytes]:
        """Return the users of the sample; none if it is gone, as after `auth0-sync erase`."""
        if (answer := find(self.s3, self.bucket, _sample_key(export.export_id))) is None:
            return {}
        lines = gzip.decompress(answer["Body"].read()).splitlines()
        return {decode_deep(_user, storable(line)).user_id: line for line in lines}


def find(s3: "S3Client", bucket: str, key: str) -> "GetObjectOutputTypeDef | None":
    """Return S3's answer to a request for an object; None if there is no such object."""
    try:
        return s3.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if code(error) != "NoSuchKey":
            raise
        return None


def put_if(s3: "S3Client", bucket: str, key: str, content: bytes, **condition: Any) -> str | None:
    """Write an object if a condition of S3's holds, ``IfMatch`` or ``IfNoneMatch``; return its ETag, else None."""
    try:
        return s3.put_object(Bucket=bucket, Key=key, Body=content, **condition)["ETag"]
    except ClientError as error:
        if code(error) not in EXISTS:
            raise
        return None


def download_key(*options: object) -> str:
    """Return the key of the download with these options: the same command finds it again."""
    return f"{PREFIX}{sha256(msgspec.json.encode(options)).hexdigest()[:32]}.json"


def _sample_key(export_id: str) -> str:
    return f"{PREFIX}{export_id}/sample.ndjson.gz"
