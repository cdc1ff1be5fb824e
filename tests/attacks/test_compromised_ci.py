"""A compromised CI: the job of a pull request, which may plan, and that of a deployment, which may apply.

tests/infra/test_deployer.py has the counterpart, that the job of a deployment may make roles within the boundary: the
emulator does not evaluate ``iam:PermissionsBoundary``.
"""

from typing import Any

import pytest

from tests.emulator.support import ACCOUNT, ANYTHING, ROOT, policy, trust
from tests.infra.deployer import APPLY, PLAN, Place

from .actors import ATTEMPTS, Actor, Target, person

pytestmark = [pytest.mark.stack, pytest.mark.emulator, pytest.mark.postgres]

ESCAPES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "make a role without the boundary": (
        "iam",
        "create_role",
        {"RoleName": "NAME-refresh", "AssumeRolePolicyDocument": "TRUST"},
    ),
    "make a role of another name": (
        "iam",
        "create_role",
        {"RoleName": "mine", "AssumeRolePolicyDocument": "TRUST", "PermissionsBoundary": "BOUNDARY"},
    ),
    "give an unbounded role all rights": (
        "iam",
        "put_role_policy",
        {"RoleName": "NAME-sync-postgres", "PolicyName": "all", "PolicyDocument": "ALL"},
    ),
    "attach a policy of AWS to a role": (
        "iam",
        "attach_role_policy",
        {"RoleName": "NAME-sync-postgres", "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
    ),
    "take the boundary off": ("iam", "delete_role_permissions_boundary", {"RoleName": "NAME-sync-postgres"}),
    "rewrite the boundary": (
        "iam",
        "create_policy_version",
        {"PolicyArn": "BOUNDARY", "PolicyDocument": "ALL", "SetAsDefault": True},
    ),
    "make a user": ("iam", "create_user", {"UserName": "mine"}),
    "make a key for a user": ("iam", "create_access_key", {"UserName": "attacks-analyst"}),
    "give itself all rights": (
        "iam",
        "put_user_policy",
        {"UserName": "attacks-apply", "PolicyName": "all", "PolicyDocument": "ALL"},
    ),
    "make a function with a role of somebody else": (
        "lambda",
        "create_function",
        {
            "FunctionName": "NAME-refresh",
            "Runtime": "python3.13",
            "Handler": "x.y",
            "Role": "arn:aws:iam::ACCOUNT:role/admin",
            "Code": {"ZipFile": b"x"},
        },
    ),
    "make a function of another name": (
        "lambda",
        "create_function",
        {
            "FunctionName": "mine",
            "Runtime": "python3.13",
            "Handler": "x.y",
            "Role": "arn:aws:iam::ACCOUNT:role/NAME-refresh",
            "Code": {"ZipFile": b"x"},
        },
    ),
    "read a secret of somebody else": ("secretsmanager", "get_secret_value", {"SecretId": "of-somebody-else"}),
    "read another table": ("dynamodb", "scan", {"TableName": "of-somebody-else"}),
    "read another bucket": ("s3", "get_object", {"Bucket": "of-somebody-else", "Key": "x"}),
}

READS = {"read the secret of Auth0", "read every user of the table"}


def parameters(place: Place, given: Any) -> Any:
    """Return the parameters of a call with their placeholders replaced."""
    if isinstance(given, dict):
        return {name: parameters(place, value) for name, value in given.items()}
    if not isinstance(given, str):
        return given
    documents = {"TRUST": trust({"AWS": ROOT}), "ALL": policy(ANYTHING)}
    if given in documents:
        return documents[given]
    return given.replace("BOUNDARY", place.boundary).replace("ACCOUNT", place.account).replace("NAME", place.name)


@pytest.fixture(scope="module")
def place(target: Target) -> Place:
    return Place(ACCOUNT, target.output("deployment"))


@pytest.fixture(scope="module")
def planner(target: Target, place: Place) -> Actor:
    return person(target, "attacks-plan", *map(place.render, PLAN))


@pytest.fixture(scope="module")
def deployer(target: Target, place: Place) -> Actor:
    target.stack.client("s3").create_bucket(Bucket="of-somebody-else")
    iam = target.stack.client("iam")
    iam.create_policy(PolicyName=f"{place.name}-boundary", PolicyDocument=place.render("boundary"))
    return person(target, "attacks-apply", *map(place.render, APPLY))


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_job_of_a_pull_request_changes_nothing_and_reads_no_user(planner: Actor, attempt: str) -> None:
    assert not planner.may_attempt(attempt)


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_job_gets_more_than_its_rights(planner: Actor, deployer: Actor, place: Place, escape: str) -> None:
    service, operation, given = ESCAPES[escape]
    for job in (planner, deployer):
        assert not job.may(service, operation, **parameters(place, given))


@pytest.mark.parametrize("attempt", sorted(READS))
def test_job_of_a_deployment_reads_neither_table_nor_secret(deployer: Actor, attempt: str) -> None:
    assert not deployer.may_attempt(attempt)
