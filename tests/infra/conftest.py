"""The states of Terraform's tests, each run once, and the emulator's matcher of event patterns in this process."""

from collections.abc import Iterator

import pytest

from devstack.emulator.patches import event_patterns
from devstack.terraform import Terraform
from tests.infra import deployed


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terraform]:
    with deployed.one_provider(deployed.initialised(tmp_path_factory.mktemp("terraform"))) as terraform:
        yield terraform


@pytest.fixture(scope="session")
def states(terraform: Terraform) -> dict[tuple[str, str], deployed.Json]:
    """Return, by file and run, the root modules of the states that tests here read."""
    return deployed.states(terraform, *deployed.FILES)


@pytest.fixture(scope="session")
def state(states: dict[tuple[str, str], deployed.Json]) -> deployed.Json:
    """Return the root module with everything switched on."""
    return states["permissions", "everything"]


@pytest.fixture(scope="session", autouse=True)
def matcher() -> None:
    event_patterns.apply()
