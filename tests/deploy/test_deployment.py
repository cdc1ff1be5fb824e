"""A deployment on this machine: found, staged, and with the state that it says."""

import json
import re
from pathlib import Path

import pytest

from pipeline.deploy import DeployError
from pipeline.deploy.deployment import REQUIRED, SETTINGS, Deployment, State, account_of
from pipeline.terraform import CONFIGURATION, TerraformError
from tests.deploy.support import FakeTerraform, says, stored, tiny

SOURCE = "aws.partner/auth0.com/acme-1/auth0.logs"


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment("prod", tiny(tmp_path))


class TestFind:
    def test_an_environment_that_is_there(self, deployment: Deployment) -> None:
        assert Deployment.find("prod", deployment.root) == deployment

    @pytest.mark.parametrize("name", ["nope", "", "../prod", "prod.tfvars"])
    def test_another_says_what_there_is_and_what_to_do(self, deployment: Deployment, name: str) -> None:
        with pytest.raises(DeployError, match=r"(?s)there are prod, production.*cp infra/terraform/environments/"):
            Deployment.find(name, deployment.root)


class TestStaging:
    def test_relative_paths_of_the_configuration_hold(
        self, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        FakeTerraform(tmp_path / "bin", monkeypatch, f"mkdir -p {deployment.directory}/.terraform")
        deployment.prepare()
        staged = {path.name for path in deployment.directory.iterdir() if not path.name.startswith(".")}
        assert staged == {"aws.tf", "modules"}
        assert (deployment.directory / "../../infra").resolve() == deployment.root / "infra"
        assert (deployment.directory / "modules" / "auth0-sync").is_dir()

    def test_other_users_cannot_read_the_directory(
        self, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        FakeTerraform(tmp_path / "bin", monkeypatch, f"mkdir -p {deployment.directory}/.terraform")
        deployment.prepare()
        assert deployment.directory.stat().st_mode & 0o077 == 0

    def test_file_removed_from_the_configuration_is_removed(
        self, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        FakeTerraform(tmp_path / "bin", monkeypatch, f"mkdir -p {deployment.directory}/.terraform")
        old = deployment.root / "infra" / "terraform" / "old.tf"
        old.touch()
        deployment.prepare()
        old.unlink()
        (deployment.directory / "terraform.tfstate").touch()
        deployment.prepare()
        assert not (deployment.directory / "old.tf").is_symlink()
        assert (deployment.directory / "terraform.tfstate").exists()

    def test_installs_once_and_again_when_the_configuration_changes(
        self, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        terraform = FakeTerraform(tmp_path / "bin", monkeypatch, f"mkdir -p {deployment.directory}/.terraform")
        deployment.prepare()
        deployment.prepare()
        assert len(terraform.calls) == 1
        (deployment.root / "infra" / "terraform" / "more.tf").touch()
        deployment.prepare()
        assert len(terraform.calls) == 2


class TestState:
    def test_state_is_local_without_a_backend(
        self, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        terraform = FakeTerraform(tmp_path / "bin", monkeypatch, f"mkdir -p {deployment.directory}/.terraform")
        deployment.prepare()
        assert "backend" not in terraform.calls[-1]
        assert not (deployment.directory / "backend.tf").exists()

        deployment.backend_file.write_text('bucket = "states"\nkey = "auth0-sync"\nuse_lockfile = true\n')
        deployment.prepare()
        assert f"-backend-config={deployment.backend_file}" in terraform.calls[-1]
        assert 'backend "s3"' in (deployment.directory / "backend.tf").read_text()

        deployment.backend_file.unlink()
        deployment.prepare()
        assert not (deployment.directory / "backend.tf").exists()

    def test_one_that_would_be_left_behind_is_not(self, deployment: Deployment) -> None:
        deployment.directory.mkdir(parents=True)
        (deployment.directory / "terraform.tfstate").write_text(json.dumps({"resources": [{"type": "aws_s3_bucket"}]}))
        deployment.backend_file.write_text('bucket = "states"\n')
        with pytest.raises(DeployError, match=r"(?s)Move it once.*init -migrate-state"):
            deployment.prepare()

    def test_environment_cannot_redirect_terraform(
        self, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("TF_WORKSPACE", "TF_DATA_DIR", "TF_CLI_ARGS", "TF_CLI_ARGS_apply"):
            monkeypatch.setenv(name, "other")
        monkeypatch.setenv("AWS_PROFILE", "acme")
        monkeypatch.setenv("TF_VAR_region", "eu-central-1")
        terraform = FakeTerraform(tmp_path / "bin", monkeypatch)
        deployment.directory.mkdir(parents=True)
        deployment.terraform.run("version")
        assert not [name for name in terraform.environment if name.startswith(("TF_WORK", "TF_DATA", "TF_CLI_ARGS"))]
        assert terraform.environment["AWS_PROFILE"] == "acme"
        assert terraform.environment["TF_VAR_region"] == "eu-central-1"
        assert terraform.environment["TF_VAR_env"] == deployment.name

    def test_resources_are_listed_without_data_sources(
        self, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        buckets = ["aws_s3_bucket.top", "module.a.aws_s3_bucket.data[0]", 'module.a["b.c"].aws_s3_bucket.data["d.e"]']
        listed = ["data.aws_region.current", "module.a.data.aws_region.current", *buckets]
        FakeTerraform(tmp_path / "bin", monkeypatch, stored(*listed, region="eu-central-1"))
        deployment.directory.mkdir(parents=True)
        assert deployment.state() == State({"region": "eu-central-1"}, buckets)

    def test_before_the_first_apply_the_state_is_empty(
        self, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        FakeTerraform(tmp_path / "bin", monkeypatch)
        deployment.directory.mkdir(parents=True)
        assert deployment.state() == State({}, [])

    def test_a_state_of_another_format_is_refused(
        self, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        FakeTerraform(tmp_path / "bin", monkeypatch, says({"version": 5}))
        deployment.directory.mkdir(parents=True)
        with pytest.raises(TerraformError, match="version 5, not 4"):
            deployment.state()


def test_two_commands_do_not_meet(deployment: Deployment) -> None:
    with deployment.lock(), pytest.raises(DeployError, match="Another command on this machine"), deployment.lock():
        pass
    with deployment.lock():
        pass


class TestSettings:
    """By the real Terraform, on variables of the same names."""

    @pytest.fixture(autouse=True)
    def _prepared(self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
        for variable in SETTINGS.values():
            monkeypatch.delenv(f"TF_VAR_{variable.partition('.')[0]}", raising=False)
        deployment.prepare()

    def test_come_from_the_file_the_environment_and_the_defaults(
        self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TF_VAR_auth0", json.dumps({"log_stream_source_name": SOURCE}))
        deployment.variables_file.write_text('environment = "prod" # "x"\nregion = "eu-central-1"\nunknown = 3\n')
        found = deployment.settings()
        assert set(found) == set(SETTINGS)
        assert found["environment"] == "prod"
        assert found["region"] == "eu-central-1"
        assert found["log_stream_source_name"] == SOURCE
        assert found["create_buses"] is True
        assert found["package_dir"] == ""

    def test_another_file_with_the_same_names_is_found(self, deployment: Deployment) -> None:
        for name, variables in {
            "copy": 'environment = "prod"\n',
            "other": 'environment = "dev"\ndatabase = { name = "prod" }\n',
            "renamed": 'name = "a0"\nenvironment = "prod"\n',
            "example": 'environment = "prod"\nauth0 = { log_stream_source_name = "CHANGE-ME" }\n',
            "broken": 'environment = "prod"\nname = \n',
        }.items():
            (deployment.environments / f"{name}.tfvars").write_text(variables)
        assert deployment.namesakes({"name": "auth0-sync", "environment": "prod"}) == ["copy"]
        assert deployment.namesakes({"name": "auth0-sync", "environment": "test"}) == []

    def test_missing_settings_are_named(self, deployment: Deployment) -> None:
        with pytest.raises(DeployError, match=r"^auth0 must be set, in .*prod\.tfvars or as TF_VAR_auth0"):
            deployment.settings()

    def test_syntax_error_in_the_variables_is_reported(self, deployment: Deployment) -> None:
        deployment.variables_file.write_text("environment = \n")
        with pytest.raises(Exception, match=r"(?s)could not read the variables.*prod\.tfvars line 1"):
            deployment.settings()


def test_the_settings_are_variables_of_the_configuration() -> None:
    text = "".join((CONFIGURATION / name).read_text() for name in ("aws.tf", "variables.tf"))
    variables = dict(re.findall(r'^variable "(\w+)" \{(.*?)^\}', text, flags=re.M | re.S))
    assert {variable.partition(".")[0] for variable in SETTINGS.values()} <= set(variables)
    assert {name for name, body in variables.items() if not re.search(r"^  default ", body, flags=re.M)} == set(
        REQUIRED
    )


def test_queue_urls_tell_the_account() -> None:
    urls = {"postgres": "https://sqs.eu-central-1.amazonaws.com/123456789012/auth0-sync-prod-postgres"}
    assert account_of({"queue_urls": urls}) == "123456789012"
    assert account_of({}) is None
