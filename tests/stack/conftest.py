"""The whole stack, once: it takes a minute to apply."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.local import stack


def processes(directory: Path) -> list[str]:
    """What runs out of ``directory``."""
    lines = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(directory) in line:
            lines.append(line)
    return lines


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="session")
def running(directory: Path) -> Iterator[stack.Stack]:
    try:
        yield stack.up(directory=directory)
    finally:
        stack.down(directory)
        assert not processes(directory), "down left something running"
