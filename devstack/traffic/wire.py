"""Traffic as the services hand it over: EventBridge's envelope, and SQS records as Lambda receives them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import md5, sha256
from typing import Any

from devstack.traffic.events import Event
from devstack.traffic.profiles import Json

#: The partner event source of the local stack; on AWS it is also the name of the bus.
DEFAULT_SOURCE = "aws.partner/auth0.com/acme-8b47abb4-0c52-4a5f-9a26-demo00000000/auth0.logs"
DEFAULT_QUEUE = "arn:aws:sqs:us-east-1:000000000000:auth0-sync-postgres"


def envelope(
    event: Event, source: str = DEFAULT_SOURCE, *, account: str = "000000000000", region: str = "us-east-1"
) -> Json:
    """The complete EventBridge event. Each delivery has an id of its own; a duplicate shares only the `log_id`."""
    digest = sha256(f"{event.log_id}/{event.attempt}".encode()).hexdigest()
    return {
        "version": "0",
        "id": f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}",
        "detail-type": event.detail_type,
        "source": source,
        "account": account,
        "time": event.time.strftime("%Y-%m-%dT%H:%M:%SZ"),  # EventBridge has whole seconds
        "region": region,
        "resources": [],
        "detail": event.detail,
    }


def sqs_record(
    body: Mapping[str, Any] | str,
    message_id: str,
    *,
    receive_count: int = 1,
    sent: datetime | None = None,
    queue_arn: str = DEFAULT_QUEUE,
) -> Json:
    """One record of the event that Lambda gets from SQS.

    :param body: an envelope, or any text that is to stand in its place.
    :param sent: when the queue took it; by default the envelope's own time.
    """
    if isinstance(body, str):
        text = body
    else:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        sent = sent or datetime.fromisoformat(body["time"])
    milliseconds = str(int((sent or datetime.now(UTC)).timestamp() * 1000))
    return {
        "messageId": message_id,
        "receiptHandle": f"receipt-{message_id}",
        "body": text,
        "attributes": {
            "ApproximateReceiveCount": str(receive_count),
            "SentTimestamp": milliseconds,
            "SenderId": "events.amazonaws.com",
            "ApproximateFirstReceiveTimestamp": milliseconds,
        },
        "messageAttributes": {},
        "md5OfBody": md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": queue_arn.split(":")[3],
    }
