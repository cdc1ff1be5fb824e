import json
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.core import responses
from ministack.services import iam, secretsmanager

from devstack.emulator import permissions

from .support import ACCOUNT, REGION, allow, name, policy

QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:queue"


@pytest.fixture(autouse=True)
def scope() -> Iterator[None]:
    with responses.request_scope(ACCOUNT, REGION):
        yield


def asked(action: str, **parameters: str) -> None:
    assert iam._IAM_HANDLERS[action](parameters)[0] == 200


def role(*statements: dict[str, Any], boundary: str | None = None) -> str:
    """The ARN of a role in this process."""
    role, bound = name("role"), {} if boundary is None else {"PermissionsBoundary": boundary}
    asked("CreateRole", RoleName=role, AssumeRolePolicyDocument="{}", **bound)
    asked("PutRolePolicy", RoleName=role, PolicyName="rights", PolicyDocument=policy(*statements))
    return f"arn:aws:iam::{ACCOUNT}:role/{role}"


def test_a_role_may_do_only_what_its_boundary_allows_too() -> None:
    boundary = name("boundary")
    asked("CreatePolicy", PolicyName=boundary, PolicyDocument=policy(allow("sqs:SendMessage", "*")))
    everything = allow("*", "*")
    bounded = role(everything, boundary=f"arn:aws:iam::{ACCOUNT}:policy/{boundary}")
    assert permissions.role_allowed(bounded, REGION, "sqs:SendMessage", QUEUE)
    assert not permissions.role_allowed(bounded, REGION, "iam:CreateUser", "*")
    assert permissions.role_allowed(role(everything), REGION, "iam:CreateUser", "*")


def test_a_condition_sees_the_tags_of_the_resource() -> None:
    arn = secretsmanager.create_secret_in_process(name("secret"), json.dumps({}))
    condition = {"StringEquals": {"aws:ResourceTag/Deployment": "mine"}}
    mine = role(allow("secretsmanager:GetSecretValue", "*", Condition=condition))
    assert not permissions.role_allowed(mine, REGION, "secretsmanager:GetSecretValue", arn)
    _, secret = secretsmanager._resolve(arn)
    secret["Tags"] = [{"Key": "Deployment", "Value": "mine"}]
    assert permissions.role_allowed(mine, REGION, "secretsmanager:GetSecretValue", arn)
