"""Send events to the archive's delivery stream."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from pipeline.delivery import Sent
from pipeline.delivery.batching import Errors, batches, persistently
from pipeline.delivery.errors import RecordTooLarge, StreamDown

if TYPE_CHECKING:
    from mypy_boto3_firehose import FirehoseClient

RECORD_BYTES: Final = 1000 << 10
BATCH_RECORDS: Final = 500
BATCH_BYTES: Final = 4 << 20
"""Firehose's limits for a record and for a batch, in bytes."""


class Stream:
    """A delivery stream of Firehose."""

    def __init__(self, firehose: "FirehoseClient", name: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._firehose, self._name, self._sleep = firehose, name, sleep

    def send(self, bodies: Sequence[str]) -> Sent:
        """Send bodies. Raises BotoCoreError and ClientError if Firehose refuses a whole request."""
        records = [body.encode() for body in bodies]
        # Firehose refuses a whole batch for one record that is too large.
        failed: Errors = {
            position: RecordTooLarge() for position, data in enumerate(records) if len(data) > RECORD_BYTES
        }
        fitting = [position for position in range(len(records)) if position not in failed]
        for batch in batches([len(records[position]) for position in fitting], BATCH_RECORDS, BATCH_BYTES):
            positions = [fitting[place] for place in batch]
            failed |= persistently(partial(self._send_once, records), positions, self._sleep)
        return Sent(failed)

    def _send_once(self, records: Sequence[bytes], batch: Sequence[int]) -> Errors:
        answer = self._firehose.put_record_batch(
            DeliveryStreamName=self._name, Records=[{"Data": records[position]} for position in batch]
        )
        return {
            position: StreamDown(one["ErrorCode"])
            for position, one in zip(batch, answer["RequestResponses"], strict=True)
            if one.get("ErrorCode")
        }
