"""`init`, and the start of the streams, against the emulator: the event sources, the buses and the secret are AWS's."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from pipeline.deploy.deployment import Deployment
from pipeline.deploy.variables import read
from pipeline.terraform import CONFIGURATION
from tests.cli.foreign_world import run
from tests.emulator.support import ACCOUNT, REGION, Aws, name
from tests.refresh.management_api import CLIENT_ID, CLIENT_SECRET, DOMAIN, ManagementApi

pytestmark = pytest.mark.emulator


@pytest.fixture
def auth0(aws: Aws) -> Iterator[ManagementApi]:
    """A tenant whose streams make event sources in the emulator, as Auth0 does."""
    api = ManagementApi()
    api.streams.created = lambda account, _region, source: aws.events.create_partner_event_source(
        Name=source, Account=account
    )
    yield api
    api.close()


def test_from_a_tenant_to_running_streams(
    aws: Aws, auth0: ManagementApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environments = tmp_path / "infra" / "terraform" / "environments"
    shutil.copytree(CONFIGURATION / "environments", environments)
    monkeypatch.setattr(Deployment, "named", classmethod(lambda cls, env: cls(env, tmp_path)))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for variable in [variable for variable in os.environ if variable.startswith(("AWS_", "AUTH0_"))]:
        monkeypatch.delenv(variable)
    variables = {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": aws.emulator.endpoint, "AUTH0_BASE_URL": auth0.url,
        "AUTH0_DOMAIN": DOMAIN, "AUTH0_CLIENT_ID": CLIENT_ID, "AUTH0_CLIENT_SECRET": CLIENT_SECRET,
    }  # fmt: skip
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    env = name("acme")
    options = ("--environment", "acme", "--account", ACCOUNT)

    made = run("init", "--env", env, *options, "--keep-credentials")
    assert made.code == 0, made.err
    monkeypatch.delenv("AUTH0_CLIENT_SECRET")
    again = run("init", "--env", env, *options)  # with the secret in Secrets Manager
    assert again.code == 0, again.err
    assert len(auth0.streams.log) == len(auth0.streams.event) == 1
    assert "has no bus" in run("streams", "--env", env, "--start").err

    written = read((environments / f"{env}.tfvars").read_text())
    for kind in ("log", "event"):
        source = written[f"{kind}_stream_source_name"]
        aws.events.create_event_bus(Name=source, EventSourceName=source)
    started = run("streams", "--env", env, "--start", "--json")
    assert started.code == 0, started.err
    rows = json.loads(started.out)["streams"]
    assert [(row["status"], row["state"]) for row in rows] == [("active", "ACTIVE"), ("enabled", "ACTIVE")]
