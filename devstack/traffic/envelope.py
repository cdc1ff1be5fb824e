"""Wrap traffic as the services deliver it: in EventBridge's envelope, and in SQS records for Lambda.

This module imitates Auth0 and AWS, so it shares no code with the product. Tests build Auth0's events with it, too.
"""

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


def eventbridge(
    detail: Json,
    *,
    event_id: str,
    time: str,
    source: str = DEFAULT_SOURCE,
    detail_type: str = "Auth0 log",
    account: str = "000000000000",
    region: str = "us-east-1",
) -> Json:
    """Return ``detail`` in EventBridge's envelope, whose ``time`` has whole seconds."""
    return {
        "version": "0",
        "id": event_id,
        "detail-type": detail_type,
        "source": source,
        "account": account,
        "time": time,
        "region": region,
        "resources": [],
        "detail": detail,
    }


def envelope(
    event: Event, source: str = DEFAULT_SOURCE, *, account: str = "000000000000", region: str = "us-east-1"
) -> Json:
    """Return the complete EventBridge event. Each delivery has its own id; a duplicate shares only the `log_id`."""
    digest = sha256(f"{event.log_id}/{event.attempt}".encode()).hexdigest()
    return eventbridge(
        event.detail,
        event_id=f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}",
        time=event.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        source=source,
        detail_type=event.detail_type,
        account=account,
        region=region,
    )


def sqs_record(
    body: Mapping[str, Any] | str,
    message_id: str,
    *,
    receive_count: int = 1,
    sent: datetime | None = None,
    queue_arn: str = DEFAULT_QUEUE,
) -> Json:
    """Return one record of the event that Lambda gets from SQS.

    :param body: an envelope, or any text in its place.
    :param sent: time at which the queue took it; by default the envelope's own time.
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
