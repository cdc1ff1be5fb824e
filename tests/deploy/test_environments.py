"""The examples: what they set exists and is valid, and nobody deploys one as it is."""

import os
import re
import shutil
from pathlib import Path

import pytest

from pipeline.deploy import DeployError, variables
from pipeline.deploy.deployment import PLACEHOLDER, Deployment, placeholders
from pipeline.terraform import CONFIGURATION
from tests.deploy.support import real, tiny

EXAMPLES = sorted((CONFIGURATION / "environments").glob("*.tfvars"))
TO_COPY = ("minimal", "production", "own-database")
VARIABLES = {
    name
    for file in ("aws.tf", "variables.tf")
    for name in re.findall(r'^variable "(\w+)"', (CONFIGURATION / file).read_text(), flags=re.M)
}


def settings(path: Path, *, commented: bool = False) -> set[str]:
    """The variables that a file sets, or with `commented` those that it could."""
    start = r"^# " if commented else "^"
    return set(re.findall(start + r"(\w+) +=", path.read_text(), flags=re.M))


def test_there_is_one_for_each_kind_of_deployment() -> None:
    assert set(TO_COPY) | {"local"} <= {path.stem for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_sets_existing_variables(path: Path) -> None:
    assert settings(path)
    assert settings(path) | settings(path, commented=True) <= VARIABLES


@pytest.mark.parametrize("name", TO_COPY)
def test_example_is_not_deployable_unchanged(name: str, tmp_path: Path) -> None:
    deployment = Deployment("prod", tiny(tmp_path))
    shutil.copy(CONFIGURATION / "environments" / f"{name}.tfvars", deployment.variables_file)
    with pytest.raises(
        DeployError, match=r"prod\.tfvars:\d+ still has the example's CHANGE-ME:\n  log_stream_source_name"
    ):
        deployment.settings()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real(tmp_path_factory.mktemp("root"), environment="prod", variables="")


@pytest.mark.parametrize("name", TO_COPY)
def test_terraform_takes_its_values(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [variable for variable in os.environ if variable.startswith("TF_VAR_")]:
        monkeypatch.delenv(variable)
    deployment = Deployment("prod", root)
    text = (CONFIGURATION / "environments" / f"{name}.tfvars").read_text()
    deployment.variables_file.write_text(text.replace(PLACEHOLDER, "acme"))

    found = deployment.settings()
    assert found["log_stream_source_name"] == "aws.partner/auth0.com/acme/auth0.logs"
    assert found["protect_data"] is True
    assert found["package_dir"] == ""
    assert complaints(deployment) == ""


@pytest.mark.parametrize("name", TO_COPY)
def test_terraform_takes_what_init_writes(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [variable for variable in os.environ if variable.startswith("TF_VAR_")]:
        monkeypatch.delenv(variable)
    deployment = Deployment("prod", root)
    source = "aws.partner/auth0.com/acme-8b47abb4-eefb-4d53-96de-71c4b4b42f7f/auth0"
    values = variables.Values("acme", "eu-south-1", "eu-west-1", f"{source}.logs", f"{source}.events")
    example = (CONFIGURATION / "environments" / f"{name}.tfvars").read_text()
    text = variables.render(
        example, values, origin="Written by a test.", emails=["o'brien+x@acme.example"], owner="acme"
    )
    assert len(placeholders(text)) == (name == "own-database")
    deployment.variables_file.write_text(text.replace(PLACEHOLDER, "acme"))

    assert variables.differences(text, values) == []
    assert deployment.settings().items() >= values.settings().items()
    assert complaints(deployment) == ""


def test_terraform_would_refuse_a_wrong_value(root: Path) -> None:
    deployment = Deployment("prod", root)
    text = (CONFIGURATION / "environments/minimal.tfvars").read_text()
    deployment.variables_file.write_text(text.replace(PLACEHOLDER, "acme") + "sync = { timeout_seconds = 0 }\n")
    assert "sync.timeout_seconds must be" in complaints(deployment)


def complaints(deployment: Deployment) -> str:
    """What Terraform says against the variables."""
    return deployment._variables().run("console", f"-var-file={deployment.variables_file}", stdin="1\n").stderr
