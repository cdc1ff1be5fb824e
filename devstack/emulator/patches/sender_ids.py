"""The sender of each message of SQS.

AWS (SQS API Reference, ReceiveMessage; IAM User Guide, "AWS global condition context keys", aws:userid): SenderId is,
for a user, the user's id, and for a role the role's id and the session's name, ``AROA…:session``. Nobody can choose
it: it is the principal that signed the request. Lambda hands it to the function.

MiniStack: the account's id in every message, which no principal has.
"""

from typing import Any

from ministack.core import iam_evaluator, responses
from ministack.services import lambda_svc, sqs

from devstack.emulator import patching

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace the making of a message's attributes, and those of the records for functions."""
    patching.require(iam_evaluator, "resolve_caller_identity", "_verified_key")
    for module, name, new in (
        (sqs, "_build_send_sys_attrs", build_send_sys_attrs),
        (lambda_svc, "_run_sqs_batch", run_sqs_batch),
    ):
        _original[name] = patching.replace(module, name, new)


def build_send_sys_attrs(now: float, sys_attrs_input: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a message, with its sender."""
    attributes: dict[str, Any] = _original["_build_send_sys_attrs"](now, sys_attrs_input)
    key = iam_evaluator._verified_key.get()  # noqa: SLF001 - empty for the account's own keys
    caller = iam_evaluator.resolve_caller_identity(key)
    return attributes | {"SenderId": caller["userId"] if caller else responses.get_account_id()}


def run_sqs_batch(
    esm: dict[str, Any],
    func_rec: dict[str, Any],
    event: dict[str, Any],
    batch: list[dict[str, Any]],
    queue_url: str,
    queue_name: str,
) -> None:
    """Invoke the function with the senders of the messages."""
    senders = {message["id"]: message["sys"]["SenderId"] for message in batch}
    for record in event["Records"]:
        record["attributes"]["SenderId"] = senders[record["messageId"]]
    _original["_run_sqs_batch"](esm, func_rec, event, batch, queue_url, queue_name)
