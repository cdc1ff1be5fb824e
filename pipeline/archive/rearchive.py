"""Send the events that Firehose could not archive to the delivery stream again."""

import base64
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from pipeline.archive.records import Erased, Record
from pipeline.archive.replay import lines, read_object
from pipeline.delivery import Delivery
from pipeline.delivery.errors import cause

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BATCH: Final = 3
"""Events that are decoded at a time: each is up to 1,000 KiB."""


@dataclass
class Report:
    """The error objects that were found, and how many of their events were sent."""

    objects: int = 0
    events: int = 0
    sent: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    """Firehose's error code to number of events."""
    refused: Counter[str] = field(default_factory=Counter)
    """Reason why events could not be sent now, to number of events."""


def rearchive(
    s3: "S3Client",
    bucket: str,
    prefix: str,
    stream: Delivery,
    *,
    record: Record = lambda _: None,
    dry_run: bool = False,
) -> Report:
    """Send the events of the objects under a prefix, and delete each object whose events the stream took all.

    `record` is called before each deletion.
    """
    report = Report()
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for key in [one["Key"] for one in page.get("Contents", [])]:
            content = read_object(s3, bucket, key)
            records = [json.loads(line) for line in lines(content)]
            report.objects += 1
            report.events += len(records)
            report.codes.update(str(record.get("errorCode", "unknown")) for record in records)
            if dry_run:
                continue
            errors = [error for batch in _batches(records) for error in stream.send(batch).failed.values()]
            report.sent += len(records) - len(errors)
            report.refused.update(cause(error) for error in errors)
            if not errors:
                record([Erased(key, sha256(content).hexdigest(), None)])
                s3.delete_object(Bucket=bucket, Key=key)
    return report


def _batches(records: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    for start in range(0, len(records), BATCH):
        raw = [base64.b64decode(record["rawData"]) for record in records[start : start + BATCH]]
        yield [data.decode(errors="replace").rstrip("\n") for data in raw]
