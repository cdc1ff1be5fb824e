import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from pipeline.deploy.deployment import Deployment
from pipeline.terraform import CONFIGURATION
from tests.init.aws import Aws
from tests.refresh.management_api import CLIENT_ID, CLIENT_SECRET, DOMAIN, ManagementApi


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with the examples of variables, which the commands take for theirs."""
    environments = tmp_path / "infra" / "terraform" / "environments"
    environments.mkdir(parents=True)
    for example in (CONFIGURATION / "environments").glob("*.tfvars"):
        shutil.copy(example, environments)
    for name in ("find", "named"):
        original = getattr(Deployment, name).__func__
        here = classmethod(lambda cls, env, original=original, **_: original(cls, env, tmp_path))
        monkeypatch.setattr(Deployment, name, here)
    return tmp_path


@pytest.fixture
def auth0(aws: Aws) -> Iterator[ManagementApi]:
    api = ManagementApi()
    api.streams.created = aws.created
    yield api
    api.close()


@pytest.fixture
def aws() -> Iterator[Aws]:
    found = Aws()
    yield found
    found.close()


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, aws: Aws, auth0: ManagementApi) -> pytest.MonkeyPatch:
    """A shell with the credentials of AWS and of Auth0's application, and nothing else."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "AUTH0_", "TF_VAR_"))]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    variables = {
        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": aws.url, "AUTH0_BASE_URL": auth0.url,
        "AUTH0_DOMAIN": DOMAIN, "AUTH0_CLIENT_ID": CLIENT_ID, "AUTH0_CLIENT_SECRET": CLIENT_SECRET,
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return monkeypatch
