"""Terraform's own checks: formatting, validity, and the tests in infra/terraform/tests, which need no AWS account."""

import os
import subprocess
from pathlib import Path

import pytest

from pipeline.local.terraform import find_mirror

INFRA = Path(__file__).parents[2] / "infra/terraform"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An initialised working directory, apart from the user's, without the user's variables and AWS account."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_VAR_", "TF_WORKSPACE"))
    }
    environment = kept | {
        "TF_DATA_DIR": str(tmp_path_factory.mktemp("terraform")),
        "TF_IN_AUTOMATION": "1",
        "AWS_REGION": "us-east-1",
    }
    mirror = find_mirror()
    terraform(environment, "init", "-backend=false", "-input=false", *([f"-plugin-dir={mirror}"] if mirror else []))
    return environment


def terraform(environment: dict[str, str], *arguments: str) -> None:
    result = subprocess.run(
        ["terraform", *arguments, *(["-no-color"] if arguments[0] != "fmt" else [])],
        cwd=INFRA, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout


def test_formatted() -> None:
    terraform(dict(os.environ), "fmt", "-check", "-recursive", "-diff")


def test_valid(environment: dict[str, str]) -> None:
    terraform(environment, "validate")


def test_its_own_tests(environment: dict[str, str]) -> None:
    terraform(environment, "test")
