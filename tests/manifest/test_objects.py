"""An object whose reading breaks is read again: botocore retries requests only."""

import io
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.response import StreamingBody

from pipeline.archive.objects import READS, Bucket, Version
from pipeline.archive.replay import read_object

VERSION = Version("logs/1", "v1", 5, datetime(2026, 1, 15, tzinfo=UTC), latest=True)


class Broken(io.BytesIO):
    """A connection that breaks."""

    def read(self, _amount: int | None = None, /) -> bytes:
        raise ReadTimeoutError(endpoint_url="https://s3.example")


class S3:
    """A client whose answers break a number of times."""

    def __init__(self, breaks: int) -> None:
        self.left = breaks

    def get_object(self, **_: Any) -> Any:
        self.left -= 1
        return {"Body": StreamingBody(Broken() if self.left >= 0 else io.BytesIO(b"event"), 5)}


READ: dict[str, Callable[[Any], object]] = {
    "read": lambda s3: Bucket(s3, "archive").read(VERSION),
    "digest": lambda s3: Bucket(s3, "archive").digest(VERSION),
    "read_object": lambda s3: read_object(s3, "archive", "logs/1"),
}


@pytest.mark.parametrize("how", READ)
def test_an_object_is_read_again_when_the_connection_breaks(how: str) -> None:
    expected = sha256(b"event").hexdigest() if how == "digest" else b"event"
    assert READ[how](S3(READS - 1)) == expected
    with pytest.raises(ReadTimeoutError):
        READ[how](S3(READS))
