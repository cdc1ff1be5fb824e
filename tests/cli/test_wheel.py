"""The wheel works without the repository, and says what only a clone can do."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OFFLINE = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of the wheel in a virtual environment, which borrows the packages that the wheel needs."""
    directory = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "wheel", *OFFLINE, "--no-build-isolation", "-w", directory, ROOT], check=True)
    [wheel] = directory.glob("auth0_sync-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory / "venv"], check=True)
    subprocess.run([*pip, "--python", directory / "venv", "install", *OFFLINE, wheel], check=True)
    [site] = (directory / "venv").glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return directory / "venv" / "bin" / "auth0-sync"


def run(command: Path, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [command, *arguments], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


def test_it_runs_from_any_directory(command: Path, tmp_path: Path) -> None:
    assert run(command, tmp_path, "--version").stdout.startswith("auth0-sync ")
    shown = run(command, tmp_path, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert " user " in shown.stdout
    assert " demo " not in shown.stdout


def test_it_has_the_files_that_its_commands_read(command: Path, tmp_path: Path) -> None:
    assert "who_changed_user" in run(command, tmp_path, "ask", "--list").stdout
    assert "CREATE ROLE" in run(command, tmp_path, "roles").stdout


@pytest.mark.parametrize("arguments", [("plan", "--env", "acme"), ("env", "--env", "acme"), ("package",)])
def test_what_needs_a_clone_says_so(command: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(command, tmp_path, *arguments)
    assert done.returncode == 1
    assert "error:" in done.stderr
    assert "clone" in done.stderr
