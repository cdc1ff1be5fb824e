"""Another principal of the account, such as another deployment's role, with all rights on queues and buckets."""

import pytest

from tests.emulator.support import allow, policy

from .actors import ATTEMPTS, Actor, Target, person

pytestmark = [pytest.mark.stack, pytest.mark.emulator, pytest.mark.postgres]

REFUSED = {
    "send a change to Postgres",
    "send a change to DynamoDB",
    "put an object among the logs",
    "overwrite an object of the logs",
    "delete an object of the logs",
}
"""What the policies of queues and bucket refuse, whatever the principal's own policies allow."""


@pytest.fixture(scope="module")
def principal(target: Target) -> Actor:
    return person(target, "attacks-principal", policy(allow(["sqs:*", "s3:*", "kms:*"], "*")))


@pytest.mark.parametrize("attempt", sorted(REFUSED))
def test_rights_on_all_queues_and_buckets_forge_nothing(principal: Actor, attempt: str) -> None:
    assert not principal.may_attempt(attempt)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_principal_without_rights_does_nothing(target: Target, attempt: str) -> None:
    stranger = person(target, f"attacks-stranger-{list(ATTEMPTS).index(attempt)}")
    assert not stranger.may_attempt(attempt)
