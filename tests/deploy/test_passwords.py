"""A database's password in the file of variables: an error if git tracks the file, else a warning."""

import subprocess
from pathlib import Path

import pytest

from pipeline.deploy import DeployError, passwords
from pipeline.deploy.deployment import Deployment
from tests.deploy.support import tiny

URL = "postgresql://writer:hunter2@db.example.com/app"


def deployment(root: Path, variables: str, *, tracked: bool = False) -> Deployment:
    made = Deployment("prod", tiny(root, variables=f'environment = "prod"\n{variables}\n'))
    subprocess.run(["git", "init", "--quiet", root], check=True)
    if tracked:
        subprocess.run(["git", "-C", root, "add", made.variables_file], check=True)
    return made


@pytest.mark.parametrize(
    "line",
    [
        f'database_url = "{URL}"',
        f'  migration_database_url="{URL}"',
        f'reader_database_url = "{URL}"',
        f'"database_url" = "{URL}" # for now',
        'database_url = "postgresql://db.example.com/app?user=writer&password=hunter2"',
        'database_url = "postgres://writer:hunter2@[::1/app"',
    ],
)
def test_password_in_a_committed_file_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(DeployError) as raised:
        passwords.check(deployment(tmp_path, line, tracked=True))
    said = str(raised.value)
    assert said.startswith("infra/terraform/environments/prod.tfvars:2 has the password of ")
    assert "export TF_VAR_" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("repository", [True, False])
def test_password_in_another_file_is_a_warning(tmp_path: Path, repository: bool) -> None:
    made = deployment(tmp_path, f'database_url = "{URL}"')
    if not repository:
        (tmp_path / ".git").rename(tmp_path / "no-git")
    warning = passwords.check(made)
    assert warning.startswith("Warning: infra/terraform/environments/prod.tfvars:2")
    assert "Do not commit the file" in warning
    assert "hunter2" not in warning


@pytest.mark.parametrize(
    "line",
    [
        "",
        f'# database_url = "{URL}"',
        'database_url = "postgresql://writer@db.example.com/app"',
        'database_url = "postgresql://db.example.com/app?sslmode=verify-full"',
        'other_url = "https://me:password@example.com"',
    ],
)
def test_file_without_password_is_no_finding(tmp_path: Path, line: str) -> None:
    assert passwords.check(deployment(tmp_path, line, tracked=True)) == ""
