"""The variables that `make` passes to the command."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("given", "expected"), [((), "terraform"), (("TERRAFORM=tofu",), "tofu"), (("TERRAFORM=/opt/tofu",), "/opt/tofu")]
)
def test_the_program_in_place_of_terraform(tmp_path: Path, given: tuple[str, ...], expected: str) -> None:
    """make takes it as an argument, and from its environment."""
    for file in ("requirements/dev.txt", "pyproject.toml", ".venv/.ready", ".venv/bin/auth0-sync"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text('#!/bin/sh\necho "$TERRAFORM: $@"\n')
        (tmp_path / file).chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "TERRAFORM" and "MAKE" not in name}
    for arguments, more in [(given, {}), ((), dict(argument.split("=") for argument in given))]:
        printed = subprocess.run(
            ["make", "-C", tmp_path, "--no-print-directory", "plan", "ENV=acme", *arguments],
            env=environment | more, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert printed == f"{expected}: plan --env acme\n"


def test_pip_installs_hashed_wheels_alone() -> None:
    """pip builds a source archive with what its build requires at the moment, and compares no hashes of that."""
    targets = [*(f".venv{name}/.ready" for name in ("", "-checkov", "-awscli", "-audit", "-lock", "-peers")), "matrix"]
    printed = subprocess.run(
        ["make", "-C", ROOT, "--no-print-directory", "--always-make", "--dry-run", *targets],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    others = [path.read_text() for path in (ROOT / ".ci" / "run", *(ROOT / ".github").rglob("*.yml"))]
    installs = [line for text in (printed, *others) for line in text.splitlines() if "pip install" in line]
    ours = [line for line in installs if line.endswith("-e .")]
    assert len(installs) - len(ours) == len(targets)
    for line in installs:
        if line in ours:  # our own package, built with what is installed already
            assert {"--no-deps", "--no-build-isolation", "--no-index"} <= {*line.split()}
        else:
            assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= {*line.split()}
