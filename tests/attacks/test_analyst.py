"""An analyst, who may ask the archive questions."""

import pytest

from .actors import ATTEMPTS, Actor, Target, person

pytestmark = [pytest.mark.stack, pytest.mark.emulator, pytest.mark.postgres]

MAY = {"read an object of the logs"}


@pytest.fixture(scope="module")
def analyst(target: Target) -> Actor:
    return person(target, "attacks-analyst", target.output("analyst_policy"))


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_analyst_only_reads_the_archive(analyst: Actor, attempt: str) -> None:
    assert analyst.may_attempt(attempt) is (attempt in MAY)
