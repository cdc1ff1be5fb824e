import pytest

from devstack import demo
from devstack.stack import Stack

from .actors import Target


@pytest.fixture(scope="session")
def target(running: Stack, run: demo.Run) -> Target:
    """The local stack after some traffic: every function has run, every store has something to lose."""
    assert run.details
    return Target(running)
