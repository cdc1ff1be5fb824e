"""The caller's right to the key of an encrypted Firehose stream.

AWS (Firehose API Reference: PutRecord, PutRecordBatch, InvalidKMSResourceException; notice to customers of April 2026,
"Enhanced security controls for Amazon Data Firehose"): to put records into a stream that a customer managed key
encrypts, the caller needs ``kms:GenerateDataKey`` and ``kms:Decrypt`` on that key, whatever grant Firehose has.
EventBridge calls as the target's role.

MiniStack: takes every record.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from ministack.core import responses, router
from ministack.services import firehose

from devstack.emulator import patching, permissions

ACTIONS = ("kms:GenerateDataKey", "kms:Decrypt")

Allowed = Callable[[str, str], bool]
"""Returns whether the caller may do an action to a resource."""

_original: dict[str, Any] = {}


def apply() -> None:
    """Check the caller before MiniStack takes the records."""
    patching.require(firehose, "_streams")
    patching.require(router, "extract_access_key_id")
    _original["_handle_request_sync"] = patching.replace(firehose, "_handle_request_sync", handle_request_sync)


def handle_request_sync(method: str, path: str, headers: Any, body: Any, query_params: Any) -> Any:
    """Handle every request of the service."""
    if headers.get("x-amz-target", "").rpartition(".")[2] in ("PutRecord", "PutRecordBatch"):
        key = router.extract_access_key_id(headers, query_params)
        caller = partial(permissions.allowed, key, responses.get_account_id(), responses.get_region())
        problem = refusal(_stream_name(body), caller)
        if problem:
            return responses.error_response_json("InvalidKMSResourceException", problem, 400)
    return _original["_handle_request_sync"](method, path, headers, body, query_params)


def refusal(stream_name: str, allowed: Allowed) -> str | None:
    """Return the error with which the stream refuses a caller's records, or None if it takes them."""
    stream = firehose._streams.get(stream_name) or {}
    encryption = stream.get("encryption") or {}
    if encryption.get("KeyType") != "CUSTOMER_MANAGED_CMK":
        return None
    key = encryption["KeyARN"]
    missing = [action for action in ACTIONS if not allowed(action, key)]
    if not missing:
        return None
    return (
        f"The grant for the CMK {key} to the delivery stream {stream['arn']} might have been revoked or the caller "
        f"might not have sufficient permissions for the CMK: {', '.join(missing)}."
    )


def _stream_name(body: Any) -> str:
    try:
        return str(json.loads(body or "{}").get("DeliveryStreamName", ""))
    except ValueError:
        return ""  # MiniStack answers this one
