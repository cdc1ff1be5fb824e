"""Records of erasures: signed documents that explain why an object is not as a manifest lists it.

Only the manifest function signs and writes below manifests/, so the other programs ask it for a record.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from pipeline import invocation
from pipeline.archive.records import Erased, Reason, Record, Request

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

OBJECTS: Final = 5_000
"""Objects of one record: Lambda takes a request of 6 MB."""


def recorder(
    client: "LambdaClient", function: str | None, *, reason: Reason = "erasure", reference: str = ""
) -> Record:
    """Return `record_erasure` for a manifest function; without one, a function that records nothing."""
    if not function:
        return lambda _: None
    return partial(record_erasure, client, function, reason=reason, reference=reference)


def record_erasure(
    client: "LambdaClient", function: str, objects: Sequence[Erased], *, reason: Reason = "erasure", reference: str = ""
) -> list[str]:
    """Record that objects are about to be rewritten or deleted; return the keys of the records.

    Call it before the first change: a record without a change does no harm, a change without a record is a finding.
    `reference` names the request, without personal data. Raises CommandError.
    """
    failed = "The erasure was not recorded, so its objects were not changed."
    return [
        str(invocation.call(client, function, {"erasure": request}, failed=failed, logs="auth0-sync logs manifest"))
        for request in _requests(objects, reason, reference)
    ]


def _requests(objects: Sequence[Erased], reason: Reason, reference: str) -> Iterator[object]:
    for start in range(0, len(objects), OBJECTS):
        yield msgspec.to_builtins(Request(reason, reference, list(objects[start : start + OBJECTS])))
