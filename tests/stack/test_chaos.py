"""A small scenario of the chaos test, so that it keeps working; ``make chaos`` plays all of them."""

from pathlib import Path

import pytest

from devstack import stack
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.world import World

pytestmark = [pytest.mark.stack, pytest.mark.emulator, pytest.mark.postgres]


@pytest.mark.usefixtures("empty_queues", "leaves_no_user")
def test_functions_killed_under_load_lose_and_double_nothing(running: stack.Stack, directory: Path) -> None:
    world = World(running, directory, seed=1, size=0.1)
    result = world.run("functions-killed", SCENARIOS["functions-killed"].play)
    assert result.differences == []
    assert (result.events, result.dead) == (300, 0)
