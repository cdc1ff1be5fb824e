"""The tags of a resource count in a permissions boundary, too.

AWS (IAM User Guide, "AWS global condition context keys"): ``aws:ResourceTag`` is in the context of a request whatever
kind of policy names it.

MiniStack: looks the tags up only if a policy of the caller itself names them, so that a boundary with the key refuses
everything.
"""

from typing import Any

from ministack.core import iam_evaluator

from devstack.emulator import patching


def apply() -> None:
    """Replace the function that decides whether to look the tags up."""
    patching.replace(iam_evaluator, "_names_condition_key", _names_condition_key)


def _names_condition_key(policies: list[list[Any]], prefix: str) -> bool:  # noqa: ARG001 - MiniStack's signature
    return True
