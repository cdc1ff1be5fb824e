"""What goes and what stays when a deployment is removed. Really removing one is tested on the emulator."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from pipeline.deploy import DeployError, teardown
from pipeline.deploy.deployment import Deployment, State
from pipeline.deploy.planning import HOLDS_DATA, NO_DATA, top
from pipeline.progress import Quiet
from tests.deploy.support import FakeTerraform, planned, says, tiny
from tests.infra.deployed import MODULE

STATE = [
    'module.auth0_sync.aws_cloudwatch_event_rule.this["user-changes-log-stream"]',
    "module.auth0_sync.aws_lambda_invocation.migrate[0]",
    "module.auth0_sync.module.archive.aws_s3_bucket.this",
    "module.auth0_sync.module.archive.module.undelivered.aws_sqs_queue.this",
    "module.auth0_sync.module.database[0].aws_rds_cluster.this",
    "module.auth0_sync.module.key[0].aws_kms_key.this",
    "module.auth0_sync.module.key[0].aws_kms_alias.this",
    "module.auth0_sync.module.users_table.aws_dynamodb_table.users",
    "module.auth0_sync.module.network[0].aws_vpc.this",
    'module.auth0_sync.module.relay["log-stream"].aws_cloudwatch_event_bus.this',
    "module.auth0_sync.module.postgres_sink.module.function.aws_lambda_function.this",
]


NETWORK = {"subnet_ids": ["subnet-1", "subnet-2"], "security_group_ids": ["sg-1"]}
OUTPUTS = {
    "region": "us-east-1",
    "database": {"cluster_identifier": "c"},
    "function_network": NETWORK,
}


MAPPING = "8c1f9ab2-6b1c-4c52-9f58-3f1d7a0f6a10"
DEPLOYED = State(OUTPUTS, STATE, functions=["migrate", "sync"], mappings=[MAPPING])


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    deployment = Deployment("prod", tiny(tmp_path))
    deployment.directory.mkdir(parents=True)
    return deployment


def terraform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *messages: object) -> FakeTerraform:
    script = f'case "$*" in *" plan "*)\n{says(*messages) or "true"}\n;; esac'
    return FakeTerraform(tmp_path / "bin", monkeypatch, script)


def targets(call: str) -> set[str]:
    return set(re.findall(r"-target=(\S+)", call))


def test_stores_stay(deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = terraform(tmp_path, monkeypatch, planned("delete", STATE[1]))
    plan = teardown.plan_without_data(deployment, STATE)
    assert len(plan.changes) == 1
    assert targets(calls.calls[-1]) == {
        "module.auth0_sync.aws_cloudwatch_event_rule.this",
        "module.auth0_sync.aws_lambda_invocation.migrate",
        "module.auth0_sync.module.relay",
        "module.auth0_sync.module.postgres_sink",
    }
    assert "-destroy" in calls.calls[-1]
    assert "protect_data" not in calls.calls[-1]


def test_data_that_would_go_along_stops_it(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terraform(tmp_path, monkeypatch, planned("delete", "module.auth0_sync.module.key[0].aws_kms_key.this"))
    with pytest.raises(DeployError, match=r"(?s)Nothing was removed.*module\.key"):
        teardown.plan_without_data(deployment, STATE)


def test_where_only_data_is_left_there_is_nothing_to_plan(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = terraform(tmp_path, monkeypatch)
    table = "module.auth0_sync.module.users_table.aws_dynamodb_table.users"
    assert teardown.plan_without_data(deployment, [table]).empty
    assert calls.calls == []


@pytest.mark.parametrize("keep_key", [True, False])
def test_with_data_all_goes_but_a_key_that_a_snapshot_needs(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep_key: bool
) -> None:
    calls = terraform(tmp_path, monkeypatch)
    shown = teardown.removal_with_data(STATE, keep_key=keep_key)
    teardown.remove_with_data(deployment, shown, Quiet())
    [call] = calls.calls
    assert {"apply", "-auto-approve", "-destroy", "-var=protect_data=false"} <= set(call.split())
    gone = targets(call)
    assert (teardown.KEY in gone) is not keep_key
    assert set(teardown.KEPT) - {teardown.KEY} <= gone
    assert {top(change.address) for change in shown.changes} == gone
    assert {change.loses for change in shown.losses} == {*HOLDS_DATA.values()} - (
        {HOLDS_DATA["aws_kms_key"]} if keep_key else set()
    )


def test_only_stores_lose_their_protection(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unprotected: list[Any] = []
    monkeypatch.setattr(teardown, "_unprotect_cluster", unprotected.append)
    calls = terraform(
        tmp_path, monkeypatch, planned("update", "module.auth0_sync.module.users_table.aws_dynamodb_table.users")
    )
    teardown.unprotect(deployment, State(OUTPUTS, STATE), Quiet())
    assert unprotected == [OUTPUTS]
    plan, apply = calls.calls[-2:]
    assert targets(plan) == {
        "module.auth0_sync.module.archive.aws_s3_bucket.this",
        "module.auth0_sync.module.database[0].aws_rds_cluster.this",
        "module.auth0_sync.module.key[0].aws_kms_key.this",
        "module.auth0_sync.module.users_table.aws_dynamodb_table.users",
    }
    assert "-var=protect_data=false" in plan
    assert "-destroy" not in plan
    assert apply.startswith("apply ")


def test_protection_stays_where_taking_it_would_change_more(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teardown, "_unprotect_cluster", lambda _outputs: None)
    calls = terraform(
        tmp_path, monkeypatch, planned("replace", "module.auth0_sync.module.database[0].aws_rds_cluster.this")
    )
    with pytest.raises(DeployError, match=r"Deploy first \(make deploy ENV=prod\)"):
        teardown.unprotect(deployment, State(OUTPUTS, STATE), Quiet())
    assert not [call for call in calls.calls if call.startswith("apply")]


class TestCluster:
    @pytest.fixture
    def rds(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
        client = boto3.client("rds", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        monkeypatch.setattr(boto3, "client", lambda *_, **__: client)
        with Stubber(client) as stub:
            described = {"DBClusters": [{"Status": "available"}]}
            stub.add_response("describe_db_clusters", described, {"DBClusterIdentifier": "c"})
            yield stub
            stub.assert_no_pending_responses()

    def test_its_protection_goes_by_itself(self, rds: Stubber) -> None:
        """With anything else the engine's version could go along, which AWS refuses once it has raised it."""
        only = {"DBClusterIdentifier": "c", "DeletionProtection": False, "ApplyImmediately": True}
        rds.add_response("modify_db_cluster", {}, only)
        teardown._unprotect_cluster(OUTPUTS)

    def test_one_that_stays_protected_is_kept(self, rds: Stubber) -> None:
        rds.add_client_error("modify_db_cluster", "AccessDenied", "no")
        with pytest.raises(DeployError, match="The cluster c is still protected from deletion, so it was kept"):
            teardown._unprotect_cluster(OUTPUTS)


class Interfaces:
    """EC2 and Lambda; each look finds the next of `looks`."""

    def __init__(self, looks: list[list[str]], functions: list[dict[str, Any]]) -> None:
        self.looks, self.functions = looks, functions
        self.filters: Any = None

    def get_paginator(self, operation: str) -> "Interfaces":
        self.operation = operation
        return self

    def paginate(self, **arguments: Any) -> list[dict[str, Any]]:
        if self.operation == "list_functions":
            return [{"Functions": [function]} for function in self.functions]
        self.filters = arguments["Filters"]
        return [
            {
                "NetworkInterfaces": [
                    {"NetworkInterfaceId": name, "SubnetId": name[-8:], "Groups": [{"GroupId": "sg-1"}]}
                ]
            }
            for name in self.looks.pop(0)
        ]


class TestNetworkInterfaces:
    @pytest.fixture
    def wait(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Interfaces]:
        monkeypatch.setattr(time, "sleep", lambda _seconds: None)

        def wait(*looks: list[str], functions: Sequence[dict[str, Any]] = ()) -> Interfaces:
            interfaces = Interfaces(list(looks), list(functions))
            monkeypatch.setattr(boto3, "client", lambda *_, **__: interfaces)
            teardown._wait_for_interfaces("us-east-1", NETWORK, Quiet())
            return interfaces

        return wait

    def test_are_waited_for(self, wait: Callable[..., Interfaces]) -> None:
        done = wait(["eni-subnet-1", "eni-subnet-2"], ["eni-subnet-2"], [])
        assert done.looks == []
        assert {each["Name"]: each["Values"] for each in done.filters} == {
            "interface-type": ["lambda"],
            "group-id": ["sg-1"],
            "subnet-id": ["subnet-1", "subnet-2"],
        }

    def test_those_of_other_functions_are_not(self, wait: Callable[..., Interfaces]) -> None:
        other = {"VpcConfig": {"SubnetIds": ["subnet-2"], "SecurityGroupIds": ["sg-1"]}}
        wait(["eni-subnet-2"], functions=[{}, other])
        elsewhere = {"VpcConfig": {"SubnetIds": ["subnet-2"], "SecurityGroupIds": ["sg-1", "sg-2"]}}
        assert wait(["eni-subnet-2"], [], functions=[elsewhere]).looks == []

    def test_not_for_longer_than_lambda_takes(
        self, wait: Callable[..., Interfaces], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(teardown, "INTERFACE_MINUTES", -1)
        with pytest.raises(DeployError, match=r"eni-subnet-1\. The functions' roles.* Run the same command later"):
            wait(["eni-subnet-1"])

    @pytest.fixture
    def waited(self, monkeypatch: pytest.MonkeyPatch) -> list[object]:
        waited: list[object] = []
        monkeypatch.setattr(teardown, "_wait_for_interfaces", lambda *what: waited.append(what[:2]))
        return waited

    @pytest.fixture
    def lambda_(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
        client = boto3.client("lambda", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        monkeypatch.setattr(boto3, "client", lambda *_, **__: client)
        with Stubber(client) as stub:
            yield stub
            stub.assert_no_pending_responses()

    def test_functions_of_the_state_go_before_them(self, lambda_: Stubber, waited: list[object]) -> None:
        """A failed first deploy has no output with their names."""
        lambda_.add_response("delete_event_source_mapping", {}, {"UUID": MAPPING})
        lambda_.add_client_error("delete_function", "ResourceNotFoundException")  # a run that was cut short did it
        lambda_.add_response("delete_function", {}, {"FunctionName": "sync"})
        assert teardown.leave_network(DEPLOYED, Quiet())
        assert waited == [("us-east-1", NETWORK)]

    def test_a_function_that_stays_stops_it(self, lambda_: Stubber, waited: list[object]) -> None:
        lambda_.add_response("delete_event_source_mapping", {})
        lambda_.add_response("delete_function", {})
        lambda_.add_client_error("delete_function", "AccessDeniedException", "no")
        with pytest.raises(DeployError, match=r"(?s)^1 of 2 functions were deleted, and nothing else: .*no.*again"):
            teardown.leave_network(DEPLOYED, Quiet())
        assert waited == []

    def test_a_destroy_that_was_cut_short_waits_again(self, lambda_: Stubber, waited: list[object]) -> None:
        assert teardown.leave_network(State(OUTPUTS, STATE[:-1]), Quiet())
        assert len(waited) == 1

    def test_functions_in_no_vpc_are_not_waited_for(self, lambda_: Stubber, waited: list[object]) -> None:
        outputs = {"region": "us-east-1", "function_network": None}
        assert not teardown.leave_network(replace(DEPLOYED, outputs=outputs), Quiet())
        assert waited == []


def test_the_key_of_a_snapshot_stays_when_an_interrupted_destroy_goes_on() -> None:
    key = "module.auth0_sync.module.key[0].aws_kms_key.this"
    without_cluster = ["module.auth0_sync.module.archive.aws_s3_bucket.this", key]
    assert teardown.needs_key(State(OUTPUTS, without_cluster))
    assert not teardown.needs_key(State(OUTPUTS, [key]))  # nothing but the key is left: it was asked for
    assert not teardown.needs_key(State({"database": {"cluster_identifier": None}}, without_cluster))
    assert not teardown.needs_key(State({}, without_cluster))


def test_a_cluster_is_known_by_the_state() -> None:
    assert teardown.has_cluster(STATE)
    assert not teardown.has_cluster(["module.key[0].aws_kms_key.this"])


def test_kept_resources_are_configured_and_hold_all_data() -> None:
    """A module that is renamed, or a new one with data in it, must be noticed here."""
    text = "".join(path.read_text() for path in MODULE.glob("*.tf"))
    used = dict(re.findall(r'^module "(\w+)" \{\n\s*source\s*=\s*"\./modules/(\w+)"', text, flags=re.M))
    kept = {name.removeprefix("module.auth0_sync.module.") for name in teardown.KEPT}
    assert kept <= set(used)
    for name, module in used.items():
        resources = "".join(path.read_text() for path in (MODULE / "modules" / module).glob("*.tf"))
        holds = set(re.findall(r'^resource "(\w+)"', resources, flags=re.M)) & set(HOLDS_DATA)
        assert not holds or name in kept or f"module.auth0_sync.module.{name}" in NO_DATA, name
    assert {name.removeprefix("module.auth0_sync.module.") for name in NO_DATA} <= set(used)


def test_the_memory_of_the_watch_is_no_data() -> None:
    memory, users = (f"module.auth0_sync.module.{name}.aws_dynamodb_table.this" for name in ("watch[0]", "users_table"))
    assert teardown.holders([memory, users]) == {users: "the users table"}
