"""The wheel works without the repository, and says what only a clone can do."""

from pathlib import Path

import pytest

from tests.wheel import install, run


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("wheel"))


def test_command_runs_from_any_directory(command: Path, tmp_path: Path) -> None:
    assert run(command, tmp_path, "--version").stdout.startswith("auth0-sync ")
    shown = run(command, tmp_path, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert " user " in shown.stdout
    assert " demo " not in shown.stdout


def test_wheel_has_the_files_that_its_commands_read(command: Path, tmp_path: Path) -> None:
    assert "who_changed_user" in run(command, tmp_path, "ask", "--list").stdout
    assert "CREATE ROLE" in run(command, tmp_path, "roles").stdout


@pytest.mark.parametrize(
    "arguments", [("plan", "--env", "acme"), ("env", "--env", "acme"), ("package",), ("init", "--env", "acme")]
)
def test_command_that_needs_a_clone_says_so(command: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(command, tmp_path, *arguments)
    assert done.returncode == 1
    assert "error:" in done.stderr
    assert "clone" in done.stderr
