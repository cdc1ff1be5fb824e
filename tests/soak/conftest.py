from collections.abc import Iterator

import pytest

from tests.soak.stores import handlers


@pytest.fixture(autouse=True)
def _many_environments() -> Iterator[None]:
    with handlers():
        yield
