<<<<<<< HEAD
"""The state with everything switched on, read once for the tests that look at it."""

import pytest

from tests.infra import deployed


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> deployed.Json:
    """The root module of the state."""
    return deployed.read(tmp_path_factory.mktemp("terraform"))
=======
"""The emulator's matcher of event patterns, in this process."""

import pytest

from pipeline.local.emulator.patches import event_patterns


@pytest.fixture(scope="session", autouse=True)
def matcher() -> None:
    event_patterns.apply()
>>>>>>> 3185cea (Requests to the emulator are held against AWS's service models; its event patterns against AWS's own engine)
