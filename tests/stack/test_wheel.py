"""The wheel reads the stack from outside of the repository."""

import json
import os
from pathlib import Path

import pytest

from devstack import demo, stack
from tests.wheel import install, run

pytestmark = [pytest.mark.stack, pytest.mark.emulator, pytest.mark.postgres]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("wheel"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("user", "USER"),
        ("sql", "SELECT user_metadata FROM live_users WHERE user_id = 'USER'"),
        ("ask", "who_changed_user", "user_id=USER"),
    ],
)
def test_wheel_reads_the_stack(
    command: Path, tmp_path: Path, running: stack.Stack, report: demo.Report, arguments: tuple[str, ...]
) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | stack.environment(running)
    given = [argument.replace("USER", report.user_id) for argument in arguments]
    done = run(command, tmp_path, *given, "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
