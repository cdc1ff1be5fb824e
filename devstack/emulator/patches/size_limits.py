"""Size limits of EventBridge, Firehose and Lambda; those of SQS where EventBridge sends to a queue.

AWS (EventBridge API Reference: PutEvents; User Guide, "Calculating PutEvents event entry size"; Firehose API
Reference: PutRecordBatch; SQS Developer Guide, "Amazon SQS message quotas"; Lambda Developer Guide, "Lambda quotas"):
an entry of PutEvents or PutPartnerEvents has less than 1 MB, and fails alone. A queue takes no message, attributes
included, above its MaximumMessageSize, whoever sends it. A Firehose record has at most 1,000 KiB; a batch with a larger
one, or with more than 4 MiB in all, is refused as a whole. An invocation has at most 6 MiB, an asynchronous one 1 MiB.

MiniStack: entries, batches and invocations of any size, and of a batch's records it refuses single ones. EventBridge's
deliveries to queues pass by the check of SendMessage (see ``event_delivery``).
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from ministack.core import responses
from ministack.services import eventbridge, firehose, lambda_svc

from devstack.emulator import patching

MAX_ENTRY_BYTES = 1 << 20
MAX_RECORD_BYTES = 1000 << 10
MAX_BATCH_BYTES = 4 << 20
MAX_INVOCATION_BYTES = {"RequestResponse": 6 << 20, "Event": 1 << 20}

Data = dict[str, Any]
_original: dict[str, Any] = {}


def apply() -> None:
    """Replace PutEvents, PutPartnerEvents, PutRecordBatch and Invoke by ones that check sizes first."""
    for name, new in (("_put_events", put_events), ("_put_partner_events", put_partner_events)):
        _original[name] = patching.replace(eventbridge, name, new)
    patching.require(firehose, "_HANDLERS", "_invalid")
    _original["_put_record_batch"] = patching.replace(firehose, "_put_record_batch", put_record_batch)
    firehose._HANDLERS["PutRecordBatch"] = put_record_batch
    _original["_invoke"] = patching.replace(lambda_svc, "_invoke", invoke)


def put_events(data: Data, allow_aws_source: bool = False) -> Any:
    """PutEvents; an entry that is too large fails alone."""
    return _without_large_entries(data, lambda rest: _original["_put_events"](rest, allow_aws_source))


def put_partner_events(data: Data) -> Any:
    """PutPartnerEvents; an entry that is too large fails alone."""
    return _without_large_entries(data, _original["_put_partner_events"])


def put_record_batch(data: Data) -> Any:
    """PutRecordBatch; one record or a batch that is too large refuses all of them."""
    sizes = [len(base64.b64decode(record.get("Data", ""))) for record in data.get("Records", [])]
    if any(size > MAX_RECORD_BYTES for size in sizes):
        message = f"Member must have length less than or equal to {MAX_RECORD_BYTES}"
        return responses.error_response_json("ValidationException", message, 400)
    if sum(sizes) > MAX_BATCH_BYTES:
        return firehose._invalid("Records size exceeds 4 MB limit")
    return _original["_put_record_batch"](data)


async def invoke(
    name: str, event: Data, headers: Data, path_qualifier: str | None = None, query_params: Data | None = None
) -> Any:
    """Invoke; a payload that is too large is refused."""
    kind = {key.lower(): value for key, value in headers.items()}.get("x-amz-invocation-type") or "RequestResponse"
    limit, size = MAX_INVOCATION_BYTES.get(kind), len(json.dumps(event, ensure_ascii=False).encode())
    if limit is not None and size > limit:
        message = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
        return responses.error_response_json("RequestTooLargeException", message, 413)
    return await _original["_invoke"](name, event, headers, path_qualifier, query_params)


def message_problem(queue: Data, body: str, attributes: Mapping[str, Mapping[str, str]]) -> str | None:
    """Return the error of a queue for a message of this size; None if it takes it."""
    limit = int(queue["attributes"].get("MaximumMessageSize", MAX_ENTRY_BYTES))
    size = len(body.encode("utf-8", "surrogatepass"))
    size += sum(len(f"{name}{''.join(value.values())}".encode()) for name, value in attributes.items())
    if size <= limit:
        return None
    return f"One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes."


def entry_size(entry: Data) -> int:
    """Return the size of an entry as EventBridge counts it."""
    texts = [entry.get("Source"), entry.get("DetailType"), entry.get("Detail"), *(entry.get("Resources") or [])]
    return (14 if entry.get("Time") else 0) + sum(len((text or "").encode("utf-8", "replace")) for text in texts)


def _without_large_entries(data: Data, put: Callable[[Data], Any]) -> Any:
    entries = data.get("Entries") or []
    large = {position for position, entry in enumerate(entries) if entry_size(entry) >= MAX_ENTRY_BYTES}
    if not large:
        return put(data)
    rest = [entry for position, entry in enumerate(entries) if position not in large]
    status, headers, body = put({**data, "Entries": rest}) if rest else responses.json_response({"Entries": []})
    if status != 200:
        return status, headers, body
    done = iter(json.loads(body)["Entries"])
    refused = {"ErrorCode": "InvalidArgument", "ErrorMessage": f"The entry has {MAX_ENTRY_BYTES} bytes or more."}
    results = [refused if position in large else next(done) for position in range(len(entries))]
    failed = sum("ErrorCode" in result for result in results)
    return responses.json_response({"FailedEntryCount": failed, "Entries": results})
