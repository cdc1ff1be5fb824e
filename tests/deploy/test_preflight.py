"""What is told before anything is planned: who the caller is, and whether Auth0 is there."""

import os
import uuid
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from pipeline.deploy import DeployError
from pipeline.deploy.deployment import Deployment
from pipeline.deploy.preflight import (
    Identity,
    check_account,
    check_names,
    check_sources,
    concurrency_warning,
    identify,
)
from tests.emulator.support import ACCOUNT, REGION, Aws

HERE = Identity(ACCOUNT, "arn:aws:iam::000000000000:root", REGION)
DEPLOYED = {"region": REGION, "queue_urls": {"postgres": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/q"}}


@pytest.fixture
def caller(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A shell without anything of AWS in it."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers the credentials of who used it first
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


@pytest.fixture
def signed_in(caller: pytest.MonkeyPatch, aws: Aws) -> Aws:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        caller.setenv(name, "test")
    caller.setenv("AWS_ENDPOINT_URL", aws.emulator.endpoint)
    return aws


class TestIdentify:
    def test_gives_account_region_and_name(self, signed_in: Aws) -> None:
        assert identify({"region": "eu-central-1"}) == Identity(ACCOUNT, HERE.arn, "eu-central-1")

    def test_takes_the_region_as_terraform_does(self, signed_in: Aws, caller: pytest.MonkeyPatch) -> None:
        caller.setenv("AWS_REGION", "eu-west-1")
        caller.setenv("AWS_DEFAULT_REGION", "us-west-2")
        assert identify({"region": None}).region == "eu-west-1"
        caller.delenv("AWS_REGION")
        assert identify({"region": None}).region == "us-west-2"

    def test_an_aws_out_of_reach_is_not_taken_for_wrong_credentials(self, caller: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            caller.setenv(name, "test")
        caller.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        with pytest.raises(EndpointConnectionError):
            identify({"region": REGION})

    def test_without_a_region_says_where_to_set_it(self, signed_in: Aws) -> None:
        with pytest.raises(DeployError, match=r"no AWS region.*AWS_REGION"):
            identify({"region": None})

    def test_without_credentials_says_how_to_sign_in(self, caller: pytest.MonkeyPatch) -> None:
        with pytest.raises(DeployError, match=r"(?s)does not know who you are: Unable to locate.*aws sso login"):
            identify({"region": REGION})

    def test_names_the_profile_that_is_not_there(self, caller: pytest.MonkeyPatch) -> None:
        caller.setenv("AWS_PROFILE", "acme")
        with pytest.raises(DeployError, match=r"AWS_PROFILE=acme"):
            identify({"region": REGION})


class TestAccount:
    def test_of_what_is_deployed_or_nothing_is(self) -> None:
        check_account("prod", DEPLOYED, HERE)
        check_account("prod", {}, HERE)

    @pytest.mark.parametrize(
        ("other", "said"),
        [
            (
                Identity("123456789012", "", REGION),
                "deployed in account 000000000000, but this would go to account 123",
            ),
            (Identity(ACCOUNT, "", "eu-west-1"), "deployed in region us-east-1, but this would go to region eu-west-1"),
        ],
    )
    def test_another_would_make_everything_again(self, other: Identity, said: str) -> None:
        with pytest.raises(DeployError, match=said):
            check_account("prod", DEPLOYED, other)


class TestNames:
    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"name": "auth0-sync", "environment": uuid.uuid4().hex[:8]}

    @pytest.fixture
    def deployment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
        monkeypatch.setattr(Deployment, "namesakes", lambda *_: [])
        return Deployment("acme", tmp_path)

    def test_free_ones_are_fine(self, signed_in: Aws, deployment: Deployment, settings: dict[str, str]) -> None:
        check_names(deployment, settings, HERE, [])

    def test_those_of_a_deployment_in_another_state_are_not(
        self, signed_in: Aws, deployment: Deployment, settings: dict[str, str]
    ) -> None:
        role = f"auth0-sync-{settings['environment']}-migrate"
        signed_in.client("iam").create_role(RoleName=role, AssumeRolePolicyDocument="{}")
        with pytest.raises(DeployError, match=rf"is deployed in account {ACCOUNT} already .*{role}.*state of acme"):
            check_names(deployment, settings, HERE, [])
        check_names(deployment, settings, HERE, ["module.auth0_sync.module.migrate.aws_iam_role.this"])

    def test_those_of_another_file_are_not(
        self, deployment: Deployment, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Deployment, "namesakes", lambda *_: ["prod"])
        with pytest.raises(DeployError, match=r"prod\.tfvars and acme\.tfvars have the same name and environment"):
            check_names(deployment, settings, HERE, [])

    def test_without_the_right_to_look_terraform_decides(
        self, caller: pytest.MonkeyPatch, deployment: Deployment, settings: dict[str, str]
    ) -> None:
        check_names(deployment, settings, HERE, [])


class TestConcurrency:
    @pytest.mark.parametrize(
        ("executions", "refresh", "warned"), [(1000, {}, False), (17, {"rate": 1}, False), (16, {"rate": 1}, True),
                                              (10, None, True), (15, None, False)]
    )  # fmt: skip
    def test_a_small_account_is_warned(
        self, caller: pytest.MonkeyPatch, executions: int, refresh: object, warned: bool
    ) -> None:
        class Lambda:
            def get_account_settings(self) -> Any:
                return {"AccountLimit": {"ConcurrentExecutions": executions}}

        caller.setattr(boto3, "client", lambda *_, **__: Lambda())
        said = concurrency_warning({"maximum_concurrency": 5, "refresh": refresh, "backfill": None}, HERE)
        assert bool(said) is warned
        if warned:
            assert f"may run {executions} Lambda functions at once" in said

    def test_a_real_answer(self, signed_in: Aws) -> None:
        assert concurrency_warning({"maximum_concurrency": 5, "refresh": None, "backfill": None}, HERE) == ""
        backfill = {"maximum_concurrency": 500}
        assert "up to 1015" in concurrency_warning(
            {"maximum_concurrency": 5, "refresh": None, "backfill": backfill}, HERE
        )
        assert "up to 2005" in concurrency_warning(
            {"maximum_concurrency": 1000, "refresh": None, "backfill": None}, HERE
        )

    def test_unknown_concurrency_limit_is_no_warning(self, caller: pytest.MonkeyPatch) -> None:
        assert concurrency_warning({"maximum_concurrency": 5, "refresh": None, "backfill": None}, HERE) == ""


class TestSources:
    @pytest.fixture
    def source(self, signed_in: Aws) -> str:
        name = f"aws.partner/auth0.com/acme-{uuid.uuid4().hex[:8]}/auth0.logs"
        signed_in.events.create_partner_event_source(Name=name, Account=ACCOUNT)
        return name

    def settings(self, source: str, **other: Any) -> dict[str, Any]:
        names = {"log_stream_source_name": source, "event_stream_source_name": None}
        return names | {"create_buses": True, "source_region": None} | other

    def test_one_that_waits_is_fine(self, source: str) -> None:
        check_sources(self.settings(source), HERE, [])

    def test_one_that_does_not_exist_shows_those_that_do(self, source: str) -> None:
        other = source.replace("acme", "acne")
        with pytest.raises(DeployError) as raised:
            check_sources(self.settings(other), HERE, [])
        said = str(raised.value)
        assert said.startswith(f"auth0.log_stream_source_name: the event source {other} does not exist")
        assert f"\n  {source} (PENDING)\n" in said
        assert "Verify the id in Auth0 before you take one: anybody with an Auth0 tenant can make one" in said
        assert "Make the Log Stream in Auth0" in said

    def test_the_event_stream_is_looked_for_too(self, source: str) -> None:
        missing = self.settings(source, event_stream_source_name=source.replace("auth0.logs", "auth0.events"))
        with pytest.raises(DeployError, match=r"(?s)^auth0.event_stream_source_name.*Make the Event Stream"):
            check_sources(missing, HERE, [])

    def test_a_bus_of_somebody_else_is_adopted_only_when_asked(self, source: str, signed_in: Aws) -> None:
        signed_in.events.create_event_bus(Name=source, EventSourceName=source)
        check_sources(
            self.settings(source), HERE, ["module.auth0_sync.module.log_bus.aws_cloudwatch_event_bus.this[0]"]
        )
        check_sources(self.settings(source, create_buses=False), HERE, [])
        with pytest.raises(DeployError, match="create_buses = false"):
            check_sources(self.settings(source), HERE, ["module.auth0_sync.aws_cloudwatch_event_rule.this"])

    def test_every_page_is_read(self, caller: pytest.MonkeyPatch) -> None:
        source = "aws.partner/auth0.com/acme/auth0.logs"

        class Events:
            def list_event_sources(self, NextToken: str = "", **_: Any) -> Any:  # noqa: N803 - boto3's name
                if not NextToken:
                    return {"EventSources": [{"Name": "other", "State": "ACTIVE"}], "NextToken": "2"}
                return {"EventSources": [{"Name": source, "State": "PENDING"}]}

        caller.setattr(boto3, "client", lambda *_, **__: Events())
        check_sources(self.settings(source), HERE, [])

    def test_in_the_region_of_auth0(self, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
        regions: list[str] = []
        client: Any = boto3.client

        def noting(service: str, region_name: str) -> Any:
            regions.append(region_name)
            return client(service, region_name=region_name)

        monkeypatch.setattr(boto3, "client", noting)
        with pytest.raises(DeployError, match="region eu-north-1"):
            check_sources(self.settings(source, source_region="eu-north-1"), HERE, [])
        assert regions == ["eu-north-1"]

    def test_without_the_right_to_list_terraform_decides(self, caller: pytest.MonkeyPatch) -> None:
        check_sources(self.settings("aws.partner/auth0.com/acme/auth0.logs"), HERE, [])
