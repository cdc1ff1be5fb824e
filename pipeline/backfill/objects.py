"""An export in the archive's bucket: its slices, its description, and the result of each slice in each store."""

import re
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import msgspec
from botocore.exceptions import ClientError
from msgspec import Meta, Struct

from pipeline.backfill.load import Loaded
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
    written: Annotated[int, Meta(ge=0)] | None = None
    """The users of the slice whom a bulk put has written: another object has the rest. None for the whole slice."""


class Result(Struct, frozen=True):
    """The outcome of a slice in a store."""

    loaded: Loaded
    refused: dict[str, str] = {}
    """Reason by pseudonym of each user that the store can never take."""


class Cut(Struct, frozen=True):
    """An export that is in the bucket as a whole."""

    export: Export
    slices: int
    users: int


T = TypeVar("T")

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

    def put_rest(self, export: Export, number: int, content: bytes) -> None:
        """Write the users of a slice whom a bulk put did not write."""
        self._put(_rest_key(export.export_id, number), content)

    def slice(self, task: Task) -> bytes:
        """Read a slice. Raises ClientError, for one that is gone with the code AccessDenied or NoSuchKey.

        Raises ``UnknownShape`` for an object that no backfill wrote, as it is too large for an invocation.
        """
        key = _slice_key if task.written is None else _rest_key
        content = self._get(key(task.export.export_id, task.number), LARGEST + 1)
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
            if code(error) != "NoSuchKey":
                raise
        raise CommandError(
            f"there is no complete export {export_id} in {self.bucket}: its upload was interrupted, or it has "
            "expired. Start again without --resume."
        )

    def put_result(self, task: Task, result: Result) -> None:
        """Write the result of a slice."""
        key = f"{results(task.export.export_id, task.store)}{task.number:06}.json"
        self._put(key, msgspec.json.encode(result))

    def result(self, key: str) -> Result:
        """Read the result of a slice."""
        return self._read(_result, key)

    def _read(self, decoder: msgspec.json.Decoder[T], key: str) -> T:
        return decoded(decoder, self._get(key), self.bucket, key)

    def _put(self, key: str, content: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)

    def _get(self, key: str, most: int | None = None) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read(most)


def decoded(decoder: msgspec.json.Decoder[T], content: bytes, bucket: str, key: str) -> T:
    """Return the value of an object. Raises ``CommandError`` for one that no backfill wrote."""
    try:
        return decoder.decode(content)
    except msgspec.DecodeError as error:
        raise CommandError(f"{key} in {bucket} is not what a backfill writes: {error}") from None


def code(error: ClientError) -> str:
    """Return the code of an AWS service's error; empty for none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _slice_key(export_id: str, number: int) -> str:
    return f"{PREFIX}{export_id}/{number:06}.ndjson.gz"


def _rest_key(export_id: str, number: int) -> str:
    return f"{bulk(export_id)}rest/{number:06}.ndjson.gz"


def _cut_key(export_id: str) -> str:
    return f"{PREFIX}{export_id}/export.json"


def bulk(export_id: str) -> str:
    """Return the prefix of the objects for a bulk put of an export."""
    return f"{PREFIX}{export_id}/bulk/"


def results(export_id: str, store: str) -> str:
    """Return the prefix of the results of an export in a store."""
    return f"{PREFIX}{export_id}/results/{store}/"
