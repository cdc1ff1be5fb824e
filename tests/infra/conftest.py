"""The state with everything switched on, and the emulator's matcher of event patterns in this process."""

import pytest

from pipeline.local.emulator.patches import event_patterns
from tests.infra import deployed


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> deployed.Json:
    """The root module of the state."""
    return deployed.read(tmp_path_factory.mktemp("terraform"))


@pytest.fixture(scope="session", autouse=True)
def matcher() -> None:
    event_patterns.apply()
