"""The state with everything switched on, read once for the tests that look at it."""

import pytest

from tests.infra import deployed


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> deployed.Json:
    """The root module of the state."""
    return deployed.read(tmp_path_factory.mktemp("terraform"))
