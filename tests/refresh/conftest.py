from collections.abc import Iterator

import pytest

from .management_api import ManagementApi


@pytest.fixture
def auth0() -> Iterator[ManagementApi]:
    api = ManagementApi()
    yield api
    api.close()
