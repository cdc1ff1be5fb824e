"""A small scenario of the chaos test, so that it keeps working; ``make chaos`` plays all of them."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from devstack import stack
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.world import World

pytestmark = [pytest.mark.stack, pytest.mark.emulator, pytest.mark.postgres]


@pytest.fixture(autouse=True)
def leaves_no_user(running: stack.Stack) -> Iterator[None]:
    """Other tests count the users in Postgres."""
    with psycopg.connect(running.database_url, autocommit=True) as connection:
        before = [user_id for (user_id,) in connection.execute("SELECT user_id FROM auth0.users").fetchall()]
        yield
        connection.execute("DELETE FROM auth0.user_rows WHERE user_id <> ALL (%s)", [before])


def test_functions_killed_under_load_lose_and_double_nothing(running: stack.Stack, directory: Path) -> None:
    world = World(running, directory, seed=1, size=0.1)
    result = world.run("functions-killed", SCENARIOS["functions-killed"].play)
    assert result.differences == []
    assert (result.events, result.dead) == (300, 0)
