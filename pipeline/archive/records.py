"""The content of a record of an erasure."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import msgspec

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
"""SHA-256 of an object's bytes as S3 stores them (compressed), in hexadecimal digits."""

Reason = Literal["erasure", "rearchived"]
"""`erasure`: lines about a person were removed. `rearchived`: the events were sent to the archive again."""


class Erased(msgspec.Struct, frozen=True):
    """An object before and after; `after` is None if the object is deleted."""

    key: str
    before: Digest
    after: Digest | None


Record = Callable[[Sequence[Erased]], object]
"""Records that objects are about to change. If it raises an error, they must not change."""


class Request(msgspec.Struct, frozen=True):
    """The manifest function's request for a record."""

    reason: Reason
    reference: Annotated[str, msgspec.Meta(max_length=200)]
    objects: list[Erased]
