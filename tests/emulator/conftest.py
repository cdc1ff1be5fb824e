"""One patched emulator for the session."""

from collections.abc import Iterator

import pytest

from pipeline.local.emulator import process

from .support import Aws


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    emulator = process.start(tmp_path_factory.mktemp("emulator"))
    yield Aws(emulator)
    process.stop(emulator.pid)
