"""An export in the archive's bucket: its slices, its description, and the result of each slice in each store."""

import re
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from botocore.exceptions import ClientError
from msgspec import Struct

from pipeline.backfill.load import Loaded
from pipeline.backfill.slices import Report
from pipeline.changes import Export
from pipeline.errors import CommandError, UnknownShape

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PREFIX: Final = "exports/"
"""Prefix of exports in the archive's bucket; they expire, and `auth0-sync erase` searches them."""
LARGEST: Final = 4_700_000
"""Most bytes of a slice as an object: in base64, more does not fit an invocation of 6,291,456 bytes."""
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class Task(Struct, frozen=True):
    """A message: a slice to load into a store."""

    export: Export
    number: int
    store: str


class Result(Struct, frozen=True):
    """The outcome of a slice in a store."""

    loaded: Loaded
    refused: dict[str, str] = {}
    """Reason by pseudonym of each user that the store can never take."""


class Job(Struct, frozen=True):
    """An export job of Auth0."""

    id: str
    connection: str
    """Name of the connection that it exports; empty for all."""
    first: int
    """Lines of the jobs before this one."""


class Download(Struct, frozen=True):
    """The download of an export from Auth0, as far as it is: a run that is killed goes on with it."""

    export: Export
    fields: tuple[str, ...]
    """The fields that its jobs name."""
    unnamed: tuple[str, ...] = ()
    """Keys of the sample that no job can name."""
    jobs: tuple[Job, ...] = ()
    report: Report = msgspec.field(default_factory=Report)
    """The report of the lines in the slices so far."""
    complete: bool = False
    """Whether all slices are there."""
    over: bool = False
    """Whether the next run starts another export: this one is loaded, or its job has failed."""


class Cut(Struct, frozen=True):
    """An export that is in the bucket as a whole."""

    export: Export
    slices: int
    users: int


T = TypeVar("T")

_download = msgspec.json.Decoder(Download)
_sample = msgspec.json.Decoder(dict[str, str])
_task = msgspec.json.Decoder(Task)
_result = msgspec.json.Decoder(Result)
_cut = msgspec.json.Decoder(Cut)


def task(body: str) -> Task:
    """Return the task in a message. Raises ``UnknownShape``."""
    try:
        found = _task.decode(body)
    except msgspec.DecodeError as error:
        raise UnknownShape(f"no slice to load: {error}") from None
    if not _ID.fullmatch(found.export.export_id) or found.number < 1:
        raise UnknownShape("no slice to load: the name of the export, or the number of the slice")
    return found


class Exports:
    """The exports in a bucket."""

    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self.s3, self.bucket = s3, bucket

    def put_slice(self, export: Export, number: int, content: bytes) -> None:
        """Write a slice; numbers begin with 1."""
        self._put(_slice_key(export.export_id, number), content)

    def slice(self, task: Task) -> bytes:
        """Read a slice. Raises ClientError, for one that is gone with the code AccessDenied or NoSuchKey.

        Raises ``UnknownShape`` for an object that no backfill wrote, as it is too large for an invocation.
        """
        content = self._get(_slice_key(task.export.export_id, task.number), LARGEST + 1)
        if len(content) > LARGEST:
            raise UnknownShape(f"the object of the slice has more than {LARGEST:,} bytes")
        return content

    def put_cut(self, cut: Cut) -> None:
        """Mark an export as complete: all of its slices are there."""
        self._put(_cut_key(cut.export.export_id), msgspec.json.encode(cut))

    def cut(self, export_id: str) -> Cut:
        """Return an export. Raises ``CommandError`` if not all of its slices are there."""
        try:
            if _ID.fullmatch(export_id):
                return self._read(_cut, _cut_key(export_id))
        except ClientError as error:
            if _code(error) != "NoSuchKey":
                raise
        raise CommandError(
            f"there is no complete export {export_id} in {self.bucket}: its upload was interrupted, or it has "
            "expired. Start again without --resume."
        )

    def download(self, key: str) -> "Kept | None":
        """Return the download of a key, if there is one."""
        try:
            answer = self.s3.get_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            # Without s3:ListBucket, S3 answers AccessDenied in place of NoSuchKey.
            if _code(error) != "NoSuchKey":
                raise
            return None
        found = _decoded(_download, answer["Body"].read(), self.bucket, key)
        return Kept(found, answer["ETag"], answer["LastModified"])

    def put_download(self, key: str, download: Download, etag: str = "") -> str:
        """Write the state of a download over the one of this ETag, or where none is; return its ETag.

        Raises ``CommandError`` if another command has written it meanwhile.
        """
        body = msgspec.json.encode(download)
        try:
            if etag:
                answer = self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, IfMatch=etag)
            else:
                answer = self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, IfNoneMatch="*")
        except ClientError as error:
            if _code(error) not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
            raise CommandError(
                "another command downloads the same export at this moment, so this one ends. Wait for the other, or "
                "run this again."
            ) from None
        return answer["ETag"]

    def put_sample(self, export: Export, sample: Mapping[str, bytes]) -> None:
        """Write the users of the sample beside the slices."""
        self._put(
            _sample_key(export.export_id), msgspec.json.encode({key: user.decode() for key, user in sample.items()})
        )

    def sample(self, export: Export) -> dict[str, bytes]:
        """Return the users of the sample; none if it is gone, as after `auth0-sync erase`."""
        try:
            found = self._read(_sample, _sample_key(export.export_id))
        except ClientError as error:
            if _code(error) != "NoSuchKey":
                raise
            return {}
        return {key: user.encode() for key, user in found.items()}

    def put_result(self, task: Task, result: Result) -> None:
        """Write the result of a slice."""
        key = f"{results(task.export.export_id, task.store)}{task.number:06}.json"
        self._put(key, msgspec.json.encode(result))

    def result(self, key: str) -> Result:
        """Read the result of a slice."""
        return self._read(_result, key)

    def _read(self, decoder: msgspec.json.Decoder[T], key: str) -> T:
        return _decoded(decoder, self._get(key), self.bucket, key)

    def _put(self, key: str, content: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)

    def _get(self, key: str, most: int | None = None) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read(most)


class Kept(Struct, frozen=True):
    """A download in the bucket."""

    download: Download
    etag: str
    at: datetime
    """When it was written."""


def download_key(*options: object) -> str:
    """Return the key of the download with these options: the same command finds it again."""
    return f"{PREFIX}{sha256(msgspec.json.encode(options)).hexdigest()[:32]}.json"


def _decoded(decoder: msgspec.json.Decoder[T], content: bytes, bucket: str, key: str) -> T:
    try:
        return decoder.decode(content)
    except msgspec.DecodeError as error:
        raise CommandError(f"{key} in {bucket} is not what a backfill writes: {error}") from None


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _sample_key(export_id: str) -> str:
    return f"{PREFIX}{export_id}/sample.json"


def _slice_key(export_id: str, number: int) -> str:
    return f"{PREFIX}{export_id}/{number:06}.ndjson.gz"


def _cut_key(export_id: str) -> str:
    return f"{PREFIX}{export_id}/export.json"


def results(export_id: str, store: str) -> str:
    """Return the prefix of the results of an export in a store."""
    return f"{PREFIX}{export_id}/results/{store}/"
