"""An apply, as the stages that a person sees."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.deploy import applying
from pipeline.deploy.applying import STAGES, apply, stage_of
from pipeline.deploy.deployment import Deployment
from pipeline.deploy.planning import read
from pipeline.terraform import TerraformError
from tests.deploy.support import FakeTerraform, failed, hook, planned, says, tiny
from tests.infra.deployed import MODULE

TABLE = "module.auth0_sync.module.users_table.aws_dynamodb_table.users"
MIGRATION = "module.auth0_sync.aws_lambda_invocation.migrate[0]"
FUNCTION = "module.auth0_sync.module.postgres_sink.module.function.aws_lambda_function.this"


class Seen:
    """A Progress that notes what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @contextmanager
    def step(self, title: str) -> Iterator["Step"]:
        self.told.append(f"{title}…")
        step = Step()
        try:
            yield step
        except BaseException as error:
            self.told.append(f"{title}: {step.text}, {type(error).__name__}")
            raise
        self.told.append(f"{title}: {step.text}")


class Step:
    text = ""

    def update(self, text: str) -> None:
        self.text = text

    def fail(self, text: str) -> None:
        raise AssertionError(text)


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    deployment = Deployment("prod", tiny(tmp_path))
    deployment.directory.mkdir(parents=True)
    deployment.plan_file.touch()
    return deployment


def test_a_stage_is_over_with_the_last_of_its_operations(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = read([planned("create", TABLE), planned("replace", MIGRATION), planned("update", FUNCTION)])
    messages = [
        hook("start", "delete", MIGRATION), hook("complete", "delete", MIGRATION),
        hook("start", "create", TABLE), hook("start", "create", MIGRATION), hook("progress", "create", MIGRATION),
        hook("complete", "create", TABLE), hook("complete", "read", "data.a.b"), hook("complete", "create", MIGRATION),
        hook("start", "update", FUNCTION), hook("complete", "update", FUNCTION),
    ]  # fmt: skip
    terraform = FakeTerraform(tmp_path / "bin", monkeypatch, says(*messages))
    seen = Seen()
    apply(deployment, plan, seen)
    assert seen.told == [
        "Migration…", "Users table…", "Users table: 1 of 1", "Migration: 2 of 2",
        "Sync to Postgres…", "Sync to Postgres: 1 of 1",
    ]  # fmt: skip
    assert terraform.calls[-1].endswith(str(deployment.plan_file))
    assert not deployment.plan_file.exists()


def test_failure_marks_the_interrupted_steps_as_failed(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = read([planned("create", TABLE), planned("create", MIGRATION)])
    messages = [hook("start", "create", TABLE), hook("complete", "create", TABLE), hook("start", "create", MIGRATION)]
    FakeTerraform(tmp_path / "bin", monkeypatch, says(*messages, failed("oh dear")) + "\nexit 1")
    seen = Seen()
    with pytest.raises(TerraformError, match="oh dear"):
        apply(deployment, plan, seen)
    assert seen.told == ["Users table…", "Users table: 1 of 1", "Migration…", "Migration: 0 of 1, TerraformError"]
    assert not deployment.plan_file.exists()


def test_what_terraform_need_not_do_any_more_is_not_counted(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeTerraform(
        tmp_path / "bin", monkeypatch, says(hook("start", "create", TABLE), hook("complete", "create", TABLE))
    )
    seen = Seen()
    apply(deployment, read([planned("create", TABLE), planned("create", TABLE)]), seen)
    assert seen.told == ["Users table…", "Users table: 1 of 1"]


def test_long_steps_are_named(deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "LONG", -1.0)
    messages = [hook("start", "create", MIGRATION), hook("progress", "create", MIGRATION)]
    FakeTerraform(tmp_path / "bin", monkeypatch, says(*messages))
    seen = Seen()
    apply(deployment, read([planned("create", MIGRATION)]), seen)
    assert seen.told[-1] == f"Migration: 0 of 1, for 0 s: {MIGRATION}"


def test_an_interrupt_lets_terraform_finish_however_long_it_takes(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    deployment = Deployment("prod", deployment.root, interrupted=lambda: told.append("interrupted"))
    script = f"trap 'sleep 1; touch {tmp_path}/finished; exit 1' INT\n{says(hook('start', 'create', TABLE))}\n"
    FakeTerraform(tmp_path / "bin", monkeypatch, script + "while :; do sleep 0.1; done")

    class Interrupting(Step):
        def update(self, text: str) -> None:
            raise KeyboardInterrupt

    class Interrupted(Seen):
        @contextmanager
        def step(self, title: str) -> Iterator[Step]:
            yield Interrupting()

    with pytest.raises(KeyboardInterrupt):
        apply(deployment, read([planned("create", TABLE)]), Interrupted())
    assert told == ["interrupted"]
    assert (tmp_path / "finished").exists()


def test_every_resource_of_the_configuration_has_a_stage_of_its_own_kind() -> None:
    parts = {"bus", "consumer", "function", "queue"}
    nothing_in_aws = {"deployers"}
    modules = {path.name for path in (MODULE / "modules").iterdir()} - parts - nothing_in_aws
    used = ("log_bus", "event_bus[0]", "postgres_sink", "dynamodb_sink", "refresh[0]", "migrate", "roles[0]")
    for name in [*sorted(modules), *used]:
        assert stage_of(f"module.auth0_sync.module.{name}.aws_x.this") != "The rest", name
    assert stage_of("module.auth0_sync.aws_cloudwatch_event_rule.this") == "Buses and rules"
    assert stage_of("module.auth0_sync.aws_lambda_invocation.roles[0]") == "Database roles"
    assert stage_of("module.auth0_sync.aws_something.new") == "The rest"
    assert all(len(title) <= 20 for title, _ in STAGES), "the columns of the progress"
