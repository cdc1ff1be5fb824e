"""Both stores over a database of the test's own."""

from collections.abc import Iterator

import pytest

from tests.reconcile.world import World, world


@pytest.fixture
def both(postgres_url: str) -> Iterator[World]:
    with world(postgres_url) as opened:
        yield opened
