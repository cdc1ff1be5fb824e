"""Object Lock: uploads need a checksum.

AWS (S3 User Guide, "Object Lock considerations"): an upload of an object with a retention period, its own or the
bucket's default one, needs the Content-MD5 or a checksum header, and so does PutObjectRetention (API Reference).

MiniStack: takes uploads without a checksum.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

from typing import Any

from ministack.services import s3

from devstack.emulator import patching

REQUIRED = "Content-MD5 OR x-amz-checksum- HTTP header is required for {} requests with Object Lock parameters"

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the two operations that need a checksum."""
    patching.require(s3, "_bucket_object_lock", "_error")
    for name, new in (("_put_object", put_object), ("_put_object_retention", put_object_retention)):
        _original[name] = patching.replace(s3, name, new)


def put_object(bucket_name: str, key: str, body: bytes, headers: dict[str, str]) -> Any:
    """Refuse an object that gets a retention period if its upload has no checksum."""
    lock = s3._bucket_object_lock.get(bucket_name) or {}
    if (headers.get("x-amz-object-lock-mode") or lock.get("default_retention")) and not _has_checksum(headers):
        return s3._error("InvalidRequest", REQUIRED.format("Put Object"), 400)
    return _original["_put_object"](bucket_name, key, body, headers)


def put_object_retention(
    bucket_name: str, key: str, body: bytes, headers: dict[str, str], query_params: dict[str, Any] | None = None
) -> Any:
    """Refuse a request without a checksum."""
    if not _has_checksum(headers):
        return s3._error("InvalidRequest", "Missing required header for this request: Content-MD5", 400)
    return _original["_put_object_retention"](bucket_name, key, body, headers, query_params)


def _has_checksum(headers: dict[str, str]) -> bool:
    """Return whether a request has a checksum, in a header or, as an SDK may send it, in a trailer."""
    names = [name.lower() for name in headers]
    return any(name in ("content-md5", "x-amz-trailer") or name.startswith("x-amz-checksum-") for name in names)
