"""The commands of a deployment, with a Terraform that only prints; tests/deploy/test_whole.py has a real one."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from pipeline import doctor, invocation
from pipeline.cli import app, plans
from pipeline.deploy import DeployError, deployment, migration, preflight, teardown
from pipeline.doctor import Finding
from pipeline.functions.migrate import LosesData, Protected
from tests.deploy.support import FakeTerraform, failed, hook, planned, says, stored, tiny
from tests.deploy.test_environment import OUTPUTS as NAMES

CLUSTER = "module.auth0_sync.module.database[0].aws_rds_cluster.this"
TABLE = "module.auth0_sync.module.users_table.aws_dynamodb_table.users"
RULE = 'module.auth0_sync.aws_cloudwatch_event_rule.this["user-changes-log-stream"]'
FUNCTION = "module.auth0_sync.module.postgres_sink.module.function.aws_lambda_function.this"
OUTPUTS = NAMES | {"function_names": {"migrate": "f"}, "schema_revision": "0003", "dashboard_name": "board"}
GOOD = [Finding("Rules", "ok"), Finding("Archived logs", "unknown", "no data yet [1]")]


class Account:
    """A Terraform with a state and a plan of the test's own, and the calls to the modules around it."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = tiny(tmp_path)
        self._monkeypatch = monkeypatch
        self.questions: list[str] = []
        self.findings = GOOD
        self.warning = ""
        self.terraform = FakeTerraform(tmp_path / "bin", monkeypatch)
        self.set()
        find = deployment.Deployment.find.__func__  # type: ignore[attr-defined]  # a class method has one
        here = classmethod(lambda cls, name, **options: find(cls, name, self.root, **options))
        monkeypatch.setattr(deployment.Deployment, "find", here)
        settings = {"package_dir": "/packages", "region": None, "lambda_architecture": "arm64"}
        monkeypatch.setattr(deployment.Deployment, "settings", lambda _self: settings)
        identity = preflight.Identity("123456789012", "arn:aws:iam::123456789012:user/ada", "eu-central-1")
        monkeypatch.setattr(preflight, "identify", lambda _settings: identity)
        monkeypatch.setattr(preflight, "check_sources", lambda *_: None)
        monkeypatch.setattr(preflight, "check_names", lambda *_: None)
        monkeypatch.setattr(preflight, "concurrency_warning", lambda *_: self.warning)
        monkeypatch.setattr(doctor, "run", lambda *_: self.findings)
        monkeypatch.setattr(invocation, "idle", lambda *_: [])
        monkeypatch.delenv("AUTO_APPROVE", raising=False)

    def set(
        self, *plan: object, apply: str = "true", state: tuple[str, ...] = (FUNCTION, TABLE), outputs: Any = OUTPUTS
    ) -> None:
        self.terraform.script(
            f"""case "$*" in
            version*) echo '{{"terraform_version": "1.11.4"}}';;
            *" init "*) mkdir -p {self.root}/.deploy/prod/.terraform;;
            *"state pull")
            {stored(*state, **outputs)}
            ;;
            *" plan "*) touch {self.root}/.deploy/prod/plan.tfplan
            {says(*plan) or "true"}
            ;;
            *" apply "*) {apply}
            ;;
            esac"""
        )

    def answers(self, answer: str) -> None:
        """Make a terminal whose user gives this answer."""

        def prompt(question: str, **_: Any) -> str:
            self.questions.append(question)
            return answer

        self._monkeypatch.setattr(plans, "can_ask", lambda: True)
        self._monkeypatch.setattr(typer, "prompt", prompt)

    @property
    def applied(self) -> int:
        return sum(call.startswith("apply ") for call in self.terraform.calls)


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    return Account(tmp_path, monkeypatch)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


class TestPlan:
    def test_shows_what_would_change_and_changes_nothing(self, account: Account) -> None:
        account.set(planned("create", TABLE), planned("update", FUNCTION), planned("replace", CLUSTER, "cannot_update"))
        result = run("plan", "--env", "prod")
        assert result.exit_code == 0
        assert "account 123456789012, region eu-central-1: 1 to create, 1 to change, 1 to replace" in result.output
        assert f"~ {FUNCTION}" in result.output
        assert f"± {CLUSTER} (cannot update)" in result.output
        assert "+ Users table 1" in result.output
        assert f"Lost for good: the Postgres database ({CLUSTER})" in " ".join(result.output.split())
        assert account.applied == 0
        assert not (account.root / ".deploy" / "prod" / "plan.tfplan").exists()

    def test_warns_of_a_small_account(self, account: Account) -> None:
        account.set(planned("create", TABLE))
        account.warning = "Warning: 10 at once"
        assert "Warning: 10 at once" in run("plan", "--env", "prod").output

    def test_can_be_read_by_scripts(self, account: Account) -> None:
        account.set(planned("delete", RULE))
        found = json.loads(run("plan", "--env", "prod", "--json").stdout)
        assert found["account"] == "123456789012"
        assert [(change["action"], change["address"]) for change in found["changes"]] == [("delete", RULE)]

    def test_many_changes_are_counted_and_every_loss_is_named(self, account: Account) -> None:
        updates = [planned("update", f"module.a.aws_sqs_queue.q{number}") for number in range(plans.SHOWN + 3)]
        deletes = [planned("delete", f"module.b.aws_sqs_queue.q{number}") for number in range(plans.SHOWN + 3)]
        account.set(*updates, *deletes)
        output = run("plan", "--env", "prod").output
        assert output.count("module.a.") == plans.SHOWN
        assert "~ and 3 more" in output
        assert output.count("module.b.") == len(deletes)


class TestDeploy:
    def test_without_a_terminal_it_wants_to_be_told(self, account: Account) -> None:
        account.set(planned("create", TABLE))
        result = run("deploy", "--env", "prod")
        assert isinstance(result.exception, DeployError)
        assert "--yes, or AUTO_APPROVE=1" in str(result.exception)
        assert account.applied == 0

    @pytest.mark.parametrize("answer", ["", "y", "no", "prod"])
    def test_only_yes_is_a_yes(self, account: Account, answer: str) -> None:
        account.set(planned("create", TABLE))
        account.answers(answer)
        result = run("deploy", "--env", "prod")
        assert "Not confirmed, so nothing was changed" in str(result.exception)
        assert account.applied == 0

    def test_yes_applies_what_was_shown_tries_it_out_and_says_what_is_next(self, account: Account) -> None:
        account.set(
            planned("create", TABLE), apply=says(hook("start", "create", TABLE), hook("complete", "create", TABLE))
        )
        account.answers("yes")
        result = run("deploy", "--env", "prod")
        assert result.exit_code == 0, result.output
        assert account.terraform.calls[-2].endswith(str(account.root / ".deploy/prod/plan.tfplan"))
        assert "✔ Users table" in result.output
        assert "Archived logs  no data yet [1]" in result.output
        assert "#dashboards/dashboard/board" in result.output
        assert "env --env prod" in result.output

    @pytest.mark.parametrize("way", ["--yes", "AUTO_APPROVE"])
    def test_ci_is_not_asked(self, account: Account, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
        account.set(planned("create", TABLE))
        if way == "AUTO_APPROVE":
            monkeypatch.setenv(way, "1")
        assert run("deploy", "--env", "prod", *(["--yes"] if way == "--yes" else [])).exit_code == 0
        assert account.applied == 1

    def test_data_is_not_lost_by_yes_alone(self, account: Account) -> None:
        account.set(planned("replace", CLUSTER))
        result = run("deploy", "--env", "prod", "--yes")
        assert "--allow-data-loss" in str(result.exception)
        assert account.applied == 0
        assert run("deploy", "--env", "prod", "--yes", "--allow-data-loss").exit_code == 0
        assert account.applied == 1

    @pytest.mark.parametrize(("answer", "applied"), [("yes", 0), ("prod", 1)])
    def test_data_is_lost_only_by_who_names_the_environment(self, account: Account, answer: str, applied: int) -> None:
        account.set(planned("delete", TABLE))
        account.answers(answer)
        run("deploy", "--env", "prod")
        assert "This loses data" in account.questions[0]
        assert account.applied == applied

    def test_empty_plan_still_runs_the_smoke_test(self, account: Account) -> None:
        account.findings = [Finding("Rules", "bad", "it is DISABLED", "Deploy again")]
        result = run("deploy", "--env", "prod")
        assert "Nothing to change" in result.output
        assert "✘ Rules  it is DISABLED. Deploy again\n" in result.output
        assert account.applied == 0
        assert result.exit_code == 3

    def test_idle_functions_are_woken_before_they_are_invoked(
        self, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        woken: list[object] = []
        monkeypatch.setattr(invocation, "idle", lambda _client, functions: list(functions))
        monkeypatch.setattr(invocation, "wake", lambda _client, *what: woken.append((*what, account.applied)))
        account.set(planned("update", RULE))
        run("deploy", "--env", "prod", "--yes")
        assert woken == []
        account.set(planned("replace", "module.auth0_sync.aws_lambda_invocation.migrate[0]"))
        assert "✔ Idle functions" in run("deploy", "--env", "prod", "--yes").output
        assert woken == [(["f"], {"Records": [], "revision": "0003"}, 1)]
        account.set(planned("create", "module.auth0_sync.aws_lambda_invocation.migrate[0]"), outputs={})
        run("deploy", "--env", "prod", "--yes")
        assert len(woken) == 1

    def test_a_failed_migration_is_explained(self, account: Account) -> None:
        migration_failed = failed(
            'invoking Lambda Function (f): {"errorMessage": "no table", "errorType": "X"}',
            address="module.auth0_sync.aws_lambda_invocation.migrate[0]",
        )
        account.set(planned("update", FUNCTION), apply=f"{says(migration_failed)}\nexit 1")
        result = run("deploy", "--env", "prod", "--yes")
        assert isinstance(result.exception, DeployError)
        assert str(result.exception).startswith(
            "The migration of the database failed:\n  X: no table\nNothing of the sync"
        )

    def test_another_account_is_refused(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        other = preflight.Identity("999999999999", "", "eu-central-1")
        monkeypatch.setattr(preflight, "identify", lambda _settings: other)
        assert "would go to account 999999999999" in str(run("deploy", "--env", "prod", "--yes").exception)

    def test_an_old_terraform_is_refused(self, account: Account) -> None:
        account.terraform.script("""echo '{"terraform_version": "1.8.5"}'""")
        assert "Terraform 1.8.5" in str(run("deploy", "--env", "prod", "--yes").exception)

    def test_setting_selects_opentofu(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        account.set(planned("create", FUNCTION))
        account.terraform.rename("tofu")
        monkeypatch.setenv("TERRAFORM", "tofu")
        result = run("deploy", "--env", "prod", "--yes")
        assert result.exit_code == 0
        assert "1.11.4, tofu" in result.output
        assert {"version", "init", "plan", "apply"} <= {call.split()[0] for call in account.terraform.calls}


class TestDestroy:
    @pytest.mark.parametrize(("answer", "applied"), [("yes", 0), ("prod", 1)])
    def test_wants_the_environments_name_and_says_what_stays(self, account: Account, answer: str, applied: int) -> None:
        account.set(planned("delete", FUNCTION), planned("delete", "module.a.aws_sqs_queue.q"))
        account.answers(answer)
        result = run("destroy", "--env", "prod")
        assert f"stays {TABLE}: the users table" in result.output
        assert "The queues are deleted with" in result.output
        assert account.applied == applied
        assert ("The data and the keys to read it are kept" in result.output) is bool(applied)

    def test_with_data_takes_the_protection_first(self, account: Account) -> None:
        account.set(planned("update", TABLE))
        result = run("destroy", "--env", "prod", "--with-data", "--yes")
        assert result.exit_code == 0, result.output
        plans = [call for call in account.terraform.calls if call.startswith("plan ")]
        assert ["-destroy" in call for call in plans] == [False]
        assert ["-destroy" in call for call in account.terraform.calls if call.startswith("apply ")] == [False, True]
        assert "is kept" not in result.output

    def test_a_cluster_leaves_a_snapshot_and_its_key(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(teardown, "snapshot", lambda *_: "auth0-sync-prod-final-1")
        monkeypatch.setattr(teardown, "_unprotect_cluster", lambda *_: None)
        account.set(
            planned("update", CLUSTER), state=(FUNCTION, CLUSTER, "module.auth0_sync.module.key[0].aws_kms_key.this")
        )
        output = run("destroy", "--env", "prod", "--with-data", "--yes").output
        assert "--db-cluster-snapshot-identifier auth0-sync-prod-final-1" in output
        assert "module.auth0_sync.module.key" not in account.terraform.calls[-2]
        output = run("destroy", "--env", "prod", "--with-data", "--no-snapshot", "--yes").output
        assert "snapshot" not in output
        assert "-target=module.auth0_sync.module.key" in account.terraform.calls[-1]

    def test_a_snapshot_that_cannot_be_taken_stops_it(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(*_: object) -> str:
            raise DeployError("no snapshot")

        monkeypatch.setattr(teardown, "snapshot", fails)
        account.set(planned("delete", CLUSTER), state=(FUNCTION, CLUSTER))
        assert str(run("destroy", "--env", "prod", "--with-data", "--yes").exception) == "no snapshot"
        assert account.applied == 0

    def test_destroy_without_resources_asks_no_question(self, account: Account) -> None:
        account.set(state=(TABLE,))
        result = run("destroy", "--env", "prod")
        assert result.exit_code == 0
        assert "Nothing of prod is left to remove, but its data" in result.output


class TestTheRest:
    def test_a_deployment_is_needed(self, account: Account) -> None:
        account.set(state=(), outputs={})
        for command in ("migrate", "smoke", "outputs"):
            assert "make deploy ENV=prod" in str(run(command, "--env", "prod").exception)

    def test_destroyed_deployment_does_not_count_as_deployed(self, account: Account) -> None:
        account.set(state=(TABLE,))
        assert "Nothing is deployed as prod" in str(run("smoke", "--env", "prod").exception)

    def test_migrate_says_from_where_to_where(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []

        def migrate(
            _client: object, function: str, _env: str, revision: str, *, allow_data_loss: bool
        ) -> migration.Migrated:
            asked.append((function, revision))
            assert not allow_data_loss
            return migration.Migrated("0002", "0003")

        monkeypatch.setattr(migration, "migrate", migrate)
        assert "0002 → 0003" in run("migrate", "--env", "prod", "--revision", "0003").output
        assert asked == [("f", "0003")]

    @pytest.mark.parametrize(
        ("options", "answer", "done"),
        [
            ((), "prod", True),
            ((), "yes", False),
            (("--yes",), None, False),
            (("--allow-data-loss",), "", False),
            (("--yes", "--allow-data-loss"), None, True),
        ],
    )
    def test_a_slip_takes_no_migration_back(
        self,
        account: Account,
        monkeypatch: pytest.MonkeyPatch,
        options: tuple[str, ...],
        answer: str | None,
        done: bool,
    ) -> None:
        asked = []

        def migrate(*_: object, allow_data_loss: bool) -> migration.Migrated:
            asked.append(allow_data_loss)
            if not allow_data_loss:
                raise invocation.FunctionFailed("0006 would be taken back", LosesData.__name__)
            return migration.Migrated("0006", None)

        monkeypatch.setattr(migration, "migrate", migrate)
        if answer is not None:
            account.answers(answer)
        result = run("migrate", "--env", "prod", "--revision", "base", *options)
        assert asked == ([False, True] if done else [False])
        assert isinstance(result.exception, DeployError) is not done
        assert ("0006 → none" in result.output) is done

    def test_other_failures_of_a_migration_are_not_asked_about(
        self, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def migrate(*_: object, allow_data_loss: bool) -> migration.Migrated:
            raise invocation.FunctionFailed(f"protected ({allow_data_loss})", Protected.__name__)

        monkeypatch.setattr(migration, "migrate", migrate)
        result = run("migrate", "--env", "prod", "--revision", "base", "--yes", "--allow-data-loss")
        assert str(result.exception) == "protected (False)"

    def test_roles_are_repaired_by_the_deployed_function(
        self, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def call(_client: object, function: str, event: object, **_: str) -> object:
            asked.append((function, event))
            return {"roles": ["auth0_writer", "auth0_reader"], "others": ["ada is a member of auth0_readers"]}

        monkeypatch.setattr(invocation, "call", call)
        account.set(outputs=OUTPUTS | {"function_names": {"migrate": "f", "roles": "r"}})
        printed = run("roles", "--env", "prod").output
        assert "auth0_writer, auth0_reader" in printed
        assert "ada is a member of auth0_readers" in printed
        assert asked == [("r", {})]

    def test_roles_of_a_server_of_ones_own_are_its_administrators(self, account: Account) -> None:
        assert "whose administrator makes the roles" in str(run("roles", "--env", "prod").exception)

    def test_smoke_can_be_read_by_scripts(self, account: Account) -> None:
        account.findings = [*GOOD, Finding("Rules", "bad", "why", "do")]
        result = run("smoke", "--env", "prod", "--json")
        assert result.exit_code == 3
        found = json.loads(result.stdout)
        assert found["ok"] is False
        assert found["checks"][-1] == {"title": "Rules", "verdict": "bad", "detail": "why", "advice": "do"}
        assert "whether Auth0 delivers" in found["not_seen"]

    def test_outputs_and_environment(self, account: Account) -> None:
        assert json.loads(run("outputs", "--env", "prod").stdout) == OUTPUTS
        printed = run("env", "--env", "prod").stdout
        assert "export USERS_TABLE=users\n" in printed
        assert "export AWS_REGION=eu-central-1\n" in printed

    def test_with_aurora_the_shell_forgets_other_databases(self, account: Account) -> None:
        database = {"cluster_identifier": "c", "cluster_arn": "arn:c", "name": "auth0"}
        account.set(outputs=OUTPUTS | {"database": database, "query_secret_arn": "arn:s"})
        assert "unset DATABASE_URL\nunset PGHOST\nexport " in run("env", "--env", "prod").stdout
