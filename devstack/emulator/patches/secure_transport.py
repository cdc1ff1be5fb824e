"""Requests to the emulator count as sent over TLS.

AWS (IAM User Guide, "AWS global condition context keys"): ``aws:SecureTransport`` says whether a request was sent over
TLS. AWS's endpoints for the services in use take TLS, and a policy may deny all else.

MiniStack: listens on plain HTTP, and evaluates the key as false, so that no policy that demands TLS can be tried.

The emulator listens on the loopback interface only.
"""

from typing import Any

import ministack.app
from ministack.core import iam_evaluator

from devstack.emulator import patching

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the function that notes where a request comes from, and how."""
    name = "pin_request_origin"
    _original[name] = patching.replace(iam_evaluator, name, pin_request_origin)
    patching.replace(ministack.app, name, pin_request_origin)


def pin_request_origin(source_ip: str, secure_transport: bool) -> None:  # noqa: ARG001 - MiniStack's signature
    """Note the origin of a request, as if it came over TLS."""
    _original["pin_request_origin"](source_ip, True)
