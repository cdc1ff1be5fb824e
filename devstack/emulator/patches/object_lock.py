"""Object Lock: uploads need a checksum, and to bypass governance mode takes a right.

AWS (S3 User Guide, "Object Lock considerations"): an upload of an object with a retention period, its own or the
bucket's default one, needs the Content-MD5 or a checksum header, and so does PutObjectRetention (API Reference). To
bypass governance mode, a request needs the header x-amz-bypass-governance-retention, and its caller the right
s3:BypassGovernanceRetention.

MiniStack: takes uploads without a checksum, and the header from everybody.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

from typing import Any

from ministack.core import responses, router
from ministack.services import s3

from devstack.emulator import patching, permissions

BYPASS = "x-amz-bypass-governance-retention"
REQUIRED = "Content-MD5 OR x-amz-checksum- HTTP header is required for {} requests with Object Lock parameters"

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the three operations that Object Lock concerns."""
    patching.require(s3, "_bucket_object_lock", "_error")
    patching.require(router, "extract_access_key_id")
    for name, new in (
        ("_put_object", put_object),
        ("_put_object_retention", put_object_retention),
        ("_check_object_lock", check_object_lock),
    ):
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
    """Refuse a request without a checksum; shorten a retention only for a caller who may bypass it."""
    if not _has_checksum(headers):
        return s3._error("InvalidRequest", "Missing required header for this request: Content-MD5", 400)
    checked = _without_bypass(bucket_name, key, headers)
    return _original["_put_object_retention"](bucket_name, key, body, checked, query_params)


def check_object_lock(bucket_name: str, key: str, headers: dict[str, str], version_id: str | None) -> Any:
    """Return the refusal of a deletion; only a caller who may bypass governance mode can."""
    return _original["_check_object_lock"](bucket_name, key, _without_bypass(bucket_name, key, headers), version_id)


def _has_checksum(headers: dict[str, str]) -> bool:
    """Return whether a request has a checksum, in a header or, as an SDK may send it, in a trailer."""
    names = [name.lower() for name in headers]
    return any(name in ("content-md5", "x-amz-trailer") or name.startswith("x-amz-checksum-") for name in names)


def _without_bypass(bucket_name: str, key: str, headers: dict[str, str]) -> dict[str, str]:
    """Return the headers, without the one that bypasses if the caller may not."""
    if BYPASS not in headers:
        return headers
    caller, arn = router.extract_access_key_id(headers, {}), f"arn:aws:s3:::{bucket_name}/{key}"
    account, region = responses.get_account_id(), responses.get_region()
    if permissions.allowed(caller, account, region, "s3:BypassGovernanceRetention", arn):
        return headers
    return {name: value for name, value in headers.items() if name != BYPASS}
