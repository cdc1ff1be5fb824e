"""Records of erasures: signed documents that explain why an object is not as a manifest lists it.

Only the manifest function signs and writes below manifests/, so the other programs ask it for a record.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from pipeline import invocation

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

OBJECTS: Final = 5_000
"""Objects of one record: Lambda takes a request of 6 MB."""

Digest = str
"""SHA-256 of an object's bytes as S3 stores them (compressed), in hexadecimal digits."""

Reason = Literal["erasure", "rearchived"]
"""`erasure`: lines about a person were removed. `rearchived`: the events were sent to the archive again."""


class Erased(msgspec.Struct, frozen=True):
    """An object before and after; `after` is None if the object is deleted."""

    key: str
    before: Digest
    after: Digest | None


class Request(msgspec.Struct, frozen=True):
    """What to record, as the manifest function takes it."""

    reason: Reason
    reference: str
    objects: list[Erased]


def record_erasure(
    client: "LambdaClient", function: str, objects: Sequence[Erased], *, reason: Reason = "erasure", reference: str = ""
) -> list[str]:
    """Record that objects are about to be rewritten or deleted; return the keys of the records.

    Call it before the first change: a record without a change does no harm, a change without a record is a finding.
    `reference` names the request, without personal data. Raises CommandError.
    """
    failed = "The erasure was not recorded, so nothing was erased."
    return [
        str(invocation.call(client, function, {"erasure": request}, failed=failed, logs="auth0-sync logs manifest"))
        for request in _requests(objects, reason, reference)
    ]


def _requests(objects: Sequence[Erased], reason: Reason, reference: str) -> Iterator[object]:
    for start in range(0, len(objects), OBJECTS):
        yield msgspec.to_builtins(Request(reason, reference, list(objects[start : start + OBJECTS])))
