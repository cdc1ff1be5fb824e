"""What a plan holds, and what would be lost."""

from pathlib import Path

import pytest

from pipeline.deploy import planning
from pipeline.deploy.deployment import Deployment
from pipeline.terraform import TerraformError
from tests.deploy.support import FakeTerraform, failed, planned, says, tiny

CLUSTER = "module.auth0_sync.module.database[0].aws_rds_cluster.this"


def test_changes_are_ordered_by_what_they_do() -> None:
    messages = [planned("delete", "a.x.y"), planned("create", "b.x.y"), planned("update", "c.x.y")]
    plan = planning.read([*messages, planned("noop", "d.x.y"), planned("read", "data.x.y"), planned("create", "a.x.y")])
    assert [(change.action, change.address) for change in plan.changes] == [
        ("create", "a.x.y"),
        ("create", "b.x.y"),
        ("update", "c.x.y"),
        ("delete", "a.x.y"),
    ]
    assert plan.counts == {"create": 2, "update": 1, "delete": 1}
    assert not plan.empty


@pytest.mark.parametrize(("action", "lost"), [("create", 0), ("update", 0), ("replace", 1), ("delete", 1)])
def test_plan_names_stores_that_it_replaces_or_deletes(action: str, lost: int) -> None:
    plan = planning.read([planned(action, CLUSTER, "cannot_update"), planned("delete", "module.a.aws_sqs_queue.this")])
    assert [change.loses for change in plan.losses] == ["the Postgres database"] * lost
    assert plan.changes[0].reason in ("cannot_update", "")


def test_outputs_alone_are_a_change() -> None:
    assert planning.read([{"type": "outputs", "outputs": {"a": {"action": "noop"}}}]).empty
    plan = planning.read([{"type": "outputs", "outputs": {"a": {"action": "noop"}, "b": {"action": "create"}}}])
    assert (plan.changes, plan.outputs_change, plan.empty) == ((), True, False)


def test_warnings_are_kept_but_that_of_our_own_targets() -> None:
    warnings = [
        {"severity": "warning", "summary": said, "detail": "x"} for said in ("Resource targeting is in effect", "b")
    ]
    plan = planning.read({"type": "diagnostic", "diagnostic": warning} for warning in warnings)
    assert plan.warnings == "Warning: b\n  x"


def test_a_plan_is_kept_from_others_eyes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = Deployment("prod", tiny(tmp_path))
    deployment.directory.mkdir(parents=True)
    terraform = FakeTerraform(tmp_path / "bin", monkeypatch, f"touch {deployment.plan_file}")
    assert planning.make(deployment, "-destroy").empty
    assert deployment.plan_file.stat().st_mode & 0o077 == 0
    [call] = terraform.calls
    assert call.startswith("plan -json")
    assert call.endswith(f"-var-file={deployment.variables_file} -destroy")


def test_a_plan_that_fails_leaves_no_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = Deployment("prod", tiny(tmp_path))
    deployment.directory.mkdir(parents=True)
    deployment.plan_file.touch()
    FakeTerraform(tmp_path / "bin", monkeypatch, says(failed("no")) + "\nexit 1")
    with pytest.raises(TerraformError, match="Error: no"):
        planning.make(deployment)
    assert not deployment.plan_file.exists()
