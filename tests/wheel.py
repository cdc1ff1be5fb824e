"""The wheel, installed into a virtual environment of its own."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
OFFLINE = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")


def install(directory: Path) -> Path:
    """Build the wheel and return its command, in an environment that borrows the packages that the wheel needs."""
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "wheel", *OFFLINE, "--no-build-isolation", "-w", directory, ROOT], check=True)
    [wheel] = directory.glob("auth0_sync-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory / "venv"], check=True)
    subprocess.run([*pip, "--python", directory / "venv", "install", *OFFLINE, wheel], check=True)
    [site] = (directory / "venv").glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return directory / "venv" / "bin" / "auth0-sync"


def run(
    command: Path, directory: Path, *arguments: str, env: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """Run the command in a directory that is not the repository's."""
    environment = {name: value for name, value in env.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [command, *arguments], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
