"""Send messages to an SQS queue, or to its function if the queue cannot take them."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.delivery import Sent
from pipeline.delivery.batching import Errors, batches, persistently
from pipeline.delivery.errors import QueueDown, QueueRefused

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

    from pipeline.delivery.function import Function

BATCH_MESSAGES: Final = 10
BATCH_BYTES: Final = 1024 * 1024
"""The most that SQS takes in one request. The queue's setting limits a single message."""
LONGEST_DELAY: Final = 900
"""The longest delay of SQS, in seconds."""

# Error codes of SQS that concern the message, not the queue, in their older and newer forms.
_ABOUT_THE_MESSAGE = ("BatchRequestTooLong", "InvalidParameterValue", "InvalidMessageContents")


class Queue:
    """A queue and, if given, the function for messages that the queue can never take.

    ``max_bytes`` is the queue's limit of a message. Without it, SQS refuses messages that are too large.
    """

    def __init__(
        self,
        sqs: "SQSClient",
        url: str,
        function: "Function | None" = None,
        *,
        max_bytes: int | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sqs, self.url, self._function = sqs, url, function
        self._max_bytes, self._sleep = max_bytes, sleep

    def fits(self, body: str) -> bool:
        """Return whether the queue takes a body of this size; True if its limit is unknown."""
        return self._max_bytes is None or len(body.encode()) <= self._max_bytes

    def send(self, bodies: Sequence[str], delays: Sequence[int] = ()) -> Sent:
        """Send bodies, each after its delay in seconds if ``delays`` are given."""
        fitting = [position for position, body in enumerate(bodies) if self._function is None or self.fits(body)]
        failed: Errors = {}
        for batch in batches([len(bodies[position].encode()) for position in fitting], BATCH_MESSAGES, BATCH_BYTES):
            positions = [fitting[place] for place in batch]
            failed |= persistently(partial(self._send_once, bodies, delays), positions, self._sleep)
        if self._function is None:
            return Sent(failed)
        # The function may take what the queue never does: large messages, and characters that SQS does not allow.
        refused = {position for position, error in failed.items() if isinstance(error, QueueRefused)}
        invoked = sorted(refused | (set(range(len(bodies))) - set(fitting)))
        for position in invoked:
            failed.pop(position, None)
            if error := self._function.take(bodies[position]):
                failed[position] = error
        return Sent(failed, frozenset(invoked))

    def _send_once(self, bodies: Sequence[str], delays: Sequence[int], batch: Sequence[int]) -> Errors:
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {
                "Id": str(position),
                "MessageBody": bodies[position],
                "DelaySeconds": delays[position] if delays else 0,
            }
            for position in batch
        ]
        try:
            answer = self._sqs.send_message_batch(QueueUrl=self.url, Entries=entries)
        except BotoCoreError as error:
            return dict.fromkeys(batch, _down(type(error).__name__, error))
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if not code.endswith(_ABOUT_THE_MESSAGE):
                return dict.fromkeys(batch, _down(code, error))
            if len(batch) == 1:
                return {batch[0]: QueueRefused(code)}
            singly: Errors = {}
            for position in batch:  # SQS refuses the whole batch because of one message, without naming it
                singly |= self._send_once(bodies, delays, [position])
            return singly
        return {
            int(failure["Id"]): QueueRefused(failure["Code"]) if failure["SenderFault"] else QueueDown(failure["Code"])
            for failure in answer.get("Failed", [])
        }


def _down(answer: str, cause: Exception) -> QueueDown:
    error = QueueDown(answer)
    error.__cause__ = cause
    return error
