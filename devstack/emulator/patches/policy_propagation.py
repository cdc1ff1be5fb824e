"""The delay with which IAM applies a policy of a role.

AWS (IAM User Guide, "Troubleshooting IAM": "Changes that I make are not always immediately visible"): IAM is eventually
consistent. A policy that was just written takes seconds, at times a minute, to reach every service that asks for it;
until then the one before it counts.

MiniStack: applies a policy at once, which hides deployments that fail because of IAM's delay.

Here the inline policy of a role takes effect AUTH0_SYNC_EMULATOR_IAM_SECONDS after it was written or, to save time, LAG
seconds after it was first needed. So the first request that needs a new policy always fails, even on a slow machine.
Attached policies, which this project does not use, and deletions take effect at once.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import os
import time
from dataclasses import dataclass
from typing import Any

from ministack.core import iam_evaluator, responses
from ministack.services import iam

from devstack.emulator import patching

SECONDS = float(os.environ.get("AUTH0_SYNC_EMULATOR_IAM_SECONDS", "10"))
LAG = 3.0

_original: dict[str, Any] = {}


@dataclass
class Written:
    """A written policy; the policy `before` counts until `effective`, which may become earlier."""

    before: Any
    effective: float


_written: dict[tuple[str, str, str], Written] = {}
"""Written policies by account, role and policy name."""


def apply() -> None:
    """Replace PutRolePolicy, and the evaluator's collection of a role's policies."""
    patching.require(iam, "_roles", "_p")
    patching.require(iam_evaluator, "parse_policy_document", "_resolve_managed_policy_document")
    _original["PutRolePolicy"] = patching.replace_action(iam, "PutRolePolicy", put_role_policy, of="_IAM_HANDLERS")
    name = "_gather_role_policies"
    _original[name] = patching.replace(iam_evaluator, name, gather_role_policies)


def put_role_policy(p: Any) -> Any:
    """PutRolePolicy, noting the time."""
    account, role, policy = responses.get_account_id(), iam._p(p, "RoleName"), iam._p(p, "PolicyName")
    before = (iam._roles.get(role) or {}).get("InlinePolicies", {}).get(policy)
    counted = _in_effect(account, role, policy, before)
    answer = _original["PutRolePolicy"](p)
    if answer[0] == 200 and iam._roles[role]["InlinePolicies"][policy] != before:
        _written[account, role, policy] = Written(counted, time.monotonic() + SECONDS)
    return answer


def gather_role_policies(role_name: str, account_id: str) -> list[Any]:
    """Return the statements of a role's policies that are in effect."""
    role = iam._roles.get_scoped(account_id, None, role_name) or {}
    documents = []
    for policy, document in role.get("InlinePolicies", {}).items():
        documents.append(_in_effect(account_id, role_name, policy, document))
        if written := _written.get((account_id, role_name, policy)):
            written.effective = min(written.effective, time.monotonic() + LAG)
    documents += [
        iam_evaluator._resolve_managed_policy_document(arn, account_id) for arn in role.get("AttachedPolicies", [])
    ]
    parse = iam_evaluator.parse_policy_document
    return [statements for document in documents if document and (statements := parse(document))]


def _in_effect(account: str, role: str, policy: str, document: Any) -> Any:
    written = _written.get((account, role, policy))
    return document if written is None or time.monotonic() >= written.effective else written.before
