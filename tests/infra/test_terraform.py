"""Terraform's own tests of the module, which need no AWS account. `make check` has format and validity."""

import json
import re
from pathlib import Path

from devstack.terraform import Terraform
from pipeline.provider_lock import LOCK
from pipeline.terraform import CONFIGURATION
from tests.infra.deployed import FILES, MODULE, initialised


def test_its_own_tests(terraform: Terraform) -> None:
    """All but those whose states other tests read, which have to pass for that."""
    files = sorted(path.name for path in (MODULE / "tests").glob("*.tftest.hcl"))
    apart = {f"{file}.tftest.hcl" for file in FILES}
    assert apart < {*files}
    done = terraform._run("test", "-no-color", *(f"-filter=tests/{file}" for file in files if file not in apart))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_example_plans(terraform: Terraform, tmp_path: Path) -> None:
    done = initialised(tmp_path, CONFIGURATION, terraform.settings)._run("test", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr
    examples = {path.name.replace("-", "_") for path in (CONFIGURATION / "examples").iterdir()}
    assert examples == set(re.findall(r'run "(\w+)"... pass', done.stdout))


def test_the_provider_that_users_get_is_the_one_under_test(terraform: Terraform) -> None:
    """One file names the version, and no other than these tests run on."""
    text = {path: path.read_text() for path in CONFIGURATION.rglob("*.tf")}
    named = {path.relative_to(CONFIGURATION): re.findall(r'^ +version += +"(.*)"', text[path], re.M) for path in text}
    [(file, [version])] = [(path, versions) for path, versions in named.items() if versions]
    assert str(file) == "modules/auth0-sync/versions.tf"
    selected = json.loads(terraform._run("version", "-json").stdout)["provider_selections"]
    assert [*selected.values()] == [version]


def test_nothing_is_written_beside_the_configuration(terraform: Terraform) -> None:
    assert (terraform._staged / LOCK).exists()
    assert not [*CONFIGURATION.rglob(".terraform*")]
