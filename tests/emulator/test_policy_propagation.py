import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ministack.core import iam_evaluator, responses
from ministack.services import iam

from devstack.emulator import patching, permissions
from devstack.emulator.patches import policy_propagation

from .support import ACCOUNT, REGION, allow, policy

QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:queue"


class Role:
    """A role in this process, and the time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.name = f"role-{uuid.uuid4().hex[:8]}"
        iam._IAM_HANDLERS["CreateRole"]({"RoleName": self.name, "AssumeRolePolicyDocument": "{}"})

    def allow(self, action: str) -> None:
        request = {"RoleName": self.name, "PolicyName": "one", "PolicyDocument": policy(allow(action, QUEUE))}
        assert iam._IAM_HANDLERS["PutRolePolicy"](request)[0] == 200

    def may(self, action: str) -> bool:
        arn = f"arn:aws:iam::{ACCOUNT}:role/{self.name}"
        return permissions.role_allowed(arn, REGION, action, QUEUE)


@pytest.fixture
def role(monkeypatch: pytest.MonkeyPatch) -> Iterator[Role]:
    # Put back what the patch replaces, for the tests after this one.
    monkeypatch.setitem(iam._IAM_HANDLERS, "PutRolePolicy", iam._IAM_HANDLERS["PutRolePolicy"])
    monkeypatch.setattr(iam_evaluator, "_gather_role_policies", iam_evaluator._gather_role_policies)
    policy_propagation.apply()
    with responses.request_scope(ACCOUNT, REGION):
        made = Role()
        clock: Any = SimpleNamespace(monotonic=lambda: made.now)
        monkeypatch.setattr(policy_propagation, "time", clock)
        yield made


def test_a_policy_takes_effect_after_a_while(role: Role) -> None:
    role.allow("sqs:SendMessage")
    role.now += policy_propagation.SECONDS - 0.1
    assert not role.may("sqs:SendMessage")
    role.now += 0.1
    assert role.may("sqs:SendMessage")


def test_one_that_is_needed_takes_effect_sooner_but_not_at_once(role: Role) -> None:
    role.allow("sqs:SendMessage")
    assert not role.may("sqs:SendMessage")
    role.now += policy_propagation.LAG - 0.1
    assert not role.may("sqs:SendMessage")
    role.now += 0.1
    assert role.may("sqs:SendMessage")


def test_until_then_the_one_before_counts(role: Role) -> None:
    role.allow("sqs:SendMessage")
    role.now += policy_propagation.SECONDS
    role.allow("sqs:ReceiveMessage")
    assert (role.may("sqs:SendMessage"), role.may("sqs:ReceiveMessage")) == (True, False)
    role.now += policy_propagation.SECONDS
    assert (role.may("sqs:SendMessage"), role.may("sqs:ReceiveMessage")) == (False, True)


def test_the_same_policy_again_changes_nothing(role: Role) -> None:
    role.allow("sqs:SendMessage")
    role.now += policy_propagation.SECONDS
    role.allow("sqs:SendMessage")
    assert role.may("sqs:SendMessage")


def test_the_delay_is_on_where_nothing_is_set() -> None:
    assert policy_propagation.SECONDS > 0


def test_another_ministack_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(iam._IAM_HANDLERS, "PutRolePolicy")
    with pytest.raises(patching.PatchError, match="PutRolePolicy"):
        policy_propagation.apply()
