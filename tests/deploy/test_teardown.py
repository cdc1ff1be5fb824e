"""What goes and what stays when a deployment is removed. Really removing one is tested on the emulator."""

import re
from pathlib import Path

import pytest

from pipeline.deploy import DeployError, teardown
from pipeline.deploy.deployment import Deployment
from pipeline.deploy.planning import HOLDS_DATA
from pipeline.deploy.smoke import Quiet
from pipeline.terraform import CONFIGURATION
from tests.deploy.support import FakeTerraform, planned, says, tiny

STATE = [
    "data.aws_region.current",
    'aws_cloudwatch_event_rule.this["user-changes-log-stream"]',
    "aws_lambda_invocation.migrate[0]",
    "module.archive.aws_s3_bucket.this",
    "module.archive.aws_sqs_queue.undelivered",
    "module.database[0].aws_rds_cluster.this",
    "module.key[0].aws_kms_key.this",
    "module.key[0].aws_kms_alias.this",
    "module.mirror.aws_dynamodb_table.users",
    "module.network[0].aws_vpc.this",
    'module.relay["log-stream"].aws_cloudwatch_event_bus.this',
    "module.postgres_sink.module.function.aws_lambda_function.this",
]


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    deployment = Deployment("prod", tiny(tmp_path))
    deployment.directory.mkdir(parents=True)
    return deployment


def terraform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: list[str], *messages: object) -> FakeTerraform:
    listed = "\n".join(f"echo '{address}'" for address in state)
    script = f'case "$*" in *" list") {listed or "true"};;\n*" plan "*)\n{says(*messages) or "true"}\n;; esac'
    return FakeTerraform(tmp_path / "bin", monkeypatch, script)


def targets(call: str) -> set[str]:
    return set(re.findall(r"-target=(\S+)", call))


def test_what_holds_data_stays(deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = terraform(tmp_path, monkeypatch, STATE, planned("delete", STATE[2]))
    plan = teardown.plan_without_data(deployment)
    assert len(plan.changes) == 1
    assert targets(calls.calls[-1]) == {
        "aws_cloudwatch_event_rule.this",
        "aws_lambda_invocation.migrate",
        "module.relay",
        "module.postgres_sink",
    }
    assert "-destroy" in calls.calls[-1]
    assert "protect_data" not in calls.calls[-1]


def test_data_that_would_go_along_stops_it(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terraform(tmp_path, monkeypatch, STATE, planned("delete", "module.key[0].aws_kms_key.this"))
    with pytest.raises(DeployError, match=r"(?s)Nothing was removed.*module\.key"):
        teardown.plan_without_data(deployment)


def test_where_only_data_is_left_there_is_nothing_to_plan(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = terraform(tmp_path, monkeypatch, ["module.mirror.aws_dynamodb_table.users"])
    assert teardown.plan_without_data(deployment).empty
    assert len(calls.calls) == 1


@pytest.mark.parametrize("keep_key", [True, False])
def test_with_data_all_goes_but_a_key_that_a_snapshot_needs(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep_key: bool
) -> None:
    calls = terraform(tmp_path, monkeypatch, STATE)
    teardown.plan_with_data(deployment, keep_key=keep_key)
    assert ("module.key" in targets(calls.calls[-1])) is not keep_key
    assert {"module.database", "module.archive", "module.mirror", "module.network"} <= targets(calls.calls[-1])
    assert "-var=protect_data=false" in calls.calls[-1]


def test_protection_is_taken_from_what_holds_data_only(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = terraform(tmp_path, monkeypatch, STATE, planned("update", "module.mirror.aws_dynamodb_table.users"))
    teardown.unprotect(deployment, Quiet())
    plan, apply = calls.calls[-2:]
    assert targets(plan) == {
        "module.archive.aws_s3_bucket.this",
        "module.database[0].aws_rds_cluster.this",
        "module.key[0].aws_kms_key.this",
        "module.mirror.aws_dynamodb_table.users",
    }
    assert "-var=protect_data=false" in plan
    assert "-destroy" not in plan
    assert apply.startswith("apply ")


def test_protection_stays_where_taking_it_would_change_more(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = terraform(tmp_path, monkeypatch, STATE, planned("replace", "module.database[0].aws_rds_cluster.this"))
    with pytest.raises(DeployError, match=r"Deploy first \(make deploy ENV=prod\)"):
        teardown.unprotect(deployment, Quiet())
    assert not [call for call in calls.calls if call.startswith("apply")]


def test_a_cluster_is_known_by_the_state(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = terraform(tmp_path, monkeypatch, STATE)
    assert teardown.has_cluster(deployment)
    calls.script("echo module.key[0].aws_kms_key.this")
    assert not teardown.has_cluster(deployment)


def test_what_is_kept_is_of_the_configuration_and_holds_all_data() -> None:
    """A module that is renamed, or a new one with data in it, must be noticed here."""
    text = "".join(path.read_text() for path in CONFIGURATION.glob("*.tf"))
    used = dict(re.findall(r'^module "(\w+)" \{\n\s*source\s*=\s*"\./modules/(\w+)"', text, flags=re.M))
    kept = {name.removeprefix("module.") for name in teardown.KEPT}
    assert kept <= set(used)
    for name, module in used.items():
        resources = "".join(path.read_text() for path in (CONFIGURATION / "modules" / module).glob("*.tf"))
        holds = set(re.findall(r'^resource "(\w+)"', resources, flags=re.M)) & set(HOLDS_DATA)
        assert not holds or name in kept, name
