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
    """As an argument of make, and from its environment."""
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
