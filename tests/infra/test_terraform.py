"""Terraform's own checks: formatting, validity, and the tests in infra/terraform/tests, which need no AWS account."""

import json
import re

import pytest

from pipeline.local.terraform import Terraform
from pipeline.terraform import CONFIGURATION, LOCK


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """An initialised working directory, apart from the user's, without the user's variables and AWS account."""
    terraform = Terraform(tmp_path_factory.mktemp("terraform"))
    terraform.init()
    return terraform


def test_formatted(terraform: Terraform) -> None:
    terraform.fmt()


def test_valid(terraform: Terraform) -> None:
    terraform.validate()


def test_its_own_tests(terraform: Terraform) -> None:
    done = terraform._run("test", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_provider_that_users_get_is_the_one_under_test(terraform: Terraform) -> None:
    """One file names the version, and no other than these tests run on."""
    text = {path: path.read_text() for path in CONFIGURATION.rglob("*.tf")}
    named = {path.relative_to(CONFIGURATION): re.findall(r'^ +version += +"(.*)"', text[path], re.M) for path in text}
    [(file, [version])] = [(path, versions) for path, versions in named.items() if versions]
    assert str(file) == "versions.tf"
    selected = json.loads(terraform._run("version", "-json").stdout)["provider_selections"]
    assert [*selected.values()] == [version]


def test_nothing_is_written_beside_the_configuration(terraform: Terraform) -> None:
    assert (terraform._staged / LOCK).exists()
    assert not [path for path in CONFIGURATION.rglob(".terraform*") if path.name != LOCK]
