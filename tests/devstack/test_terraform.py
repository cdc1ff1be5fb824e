"""Terraform's provider, environment and messages. tests/stack tests a real apply."""

import json
import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from devstack import terraform
from devstack.processes import has_ended
from devstack.terraform import Terraform
from pipeline import terraform as shared
from pipeline.provider_lock import LOCK, ProviderError, find_mirror, machine
from pipeline.terraform import TerraformError
from tests.deploy.support import NAMES_PROVIDERS


@pytest.fixture(autouse=True)
def _no_mirror_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_PLUGIN_MIRROR", raising=False)


def provider(root: Path, *, host: str = "registry.example.org", platform: str | None = None) -> Path:
    unpacked = root / host / "hashicorp" / "aws" / "5.100.0" / (platform or machine())
    unpacked.mkdir(parents=True)
    return unpacked


def fake_terraform(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str, name: str = "terraform") -> Path:
    """Put a `terraform` on PATH that logs its arguments and environment and does what `script` says."""
    directory.mkdir()
    program = directory / name
    log = directory / "calls"
    program.write_text(f'#!/bin/sh\n{NAMES_PROVIDERS}\necho "$@" >> "{log}"\nenv > "{directory}/env"\n{script}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return directory


def messages(*content: object) -> str:
    return "\n".join(f"echo '{json.dumps(message)}'" for message in content)


class TestMirror:
    def test_found_below_a_directory_that_a_pattern_names(self, tmp_path: Path) -> None:
        (tmp_path / "a-tool").mkdir()
        provider(tmp_path / "mirror")
        assert find_mirror([f"{tmp_path}/*"]) == tmp_path / "mirror"

    def test_the_first_root_wins(self, tmp_path: Path) -> None:
        provider(tmp_path / "one")
        provider(tmp_path / "two")
        assert find_mirror([f"{tmp_path}/two", f"{tmp_path}/one"]) == tmp_path / "two"

    def test_of_another_platform_does_not_count(self, tmp_path: Path) -> None:
        provider(tmp_path / "mirror", platform="plan9_mips")
        assert find_mirror([f"{tmp_path}/*"]) is None

    def test_packed_does_not_count(self, tmp_path: Path) -> None:
        packed = tmp_path / "mirror" / "registry.example.org" / "hashicorp" / "aws" / "5.100.0"
        packed.mkdir(parents=True)
        (packed / machine()).write_text("a file")
        assert find_mirror([f"{tmp_path}/*"]) is None

    def test_missing_roots_and_unset_variables_are_passed_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("XDG_DATA_HOME", raising=False)
        provider(tmp_path / "mirror")
        roots = ["/no/such/directory/*", "$XDG_DATA_HOME/terraform/plugins", f"{tmp_path}/mirror"]
        assert find_mirror(roots) == tmp_path / "mirror"

    def test_the_environment_decides_alone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        provider(tmp_path / "found")
        (tmp_path / "chosen").mkdir()
        monkeypatch.setenv("TF_PLUGIN_MIRROR", str(tmp_path / "chosen"))
        assert find_mirror([f"{tmp_path}/found"]) == tmp_path / "chosen"
        monkeypatch.setenv("TF_PLUGIN_MIRROR", str(tmp_path / "misspelt"))
        with pytest.raises(ProviderError, match="misspelt"):
            find_mirror()


class TestInit:
    def test_uses_a_mirror_and_is_not_repeated(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        program = fake_terraform(tmp_path / "bin", monkeypatch, "exit 0")
        (tmp_path / "mirror").mkdir()
        monkeypatch.setenv("TF_PLUGIN_MIRROR", str(tmp_path / "mirror"))
        Terraform(tmp_path / "tf").init()
        Terraform(tmp_path / "tf").init()
        assert (program / "calls").read_text().count(f"-plugin-dir={tmp_path}/mirror") == 1

    def test_goes_to_the_network_when_the_mirror_does_not_fit(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script = 'case "$*" in *plugin-dir*) exit 1;; esac'
        program = fake_terraform(tmp_path / "bin", monkeypatch, script)
        monkeypatch.setattr(shared, "find_mirror", lambda: tmp_path)
        Terraform(tmp_path / "tf").init()
        assert "plugin-dir" not in (program / "calls").read_text().splitlines()[-1]

    def test_failure_shows_what_terraform_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fake_terraform(tmp_path / "bin", monkeypatch, "echo could not connect >&2; exit 1")
        with pytest.raises(TerraformError, match=r"(?s)could not connect.*TF_PLUGIN_MIRROR"):
            Terraform(tmp_path / "tf").init()

    def test_both_failures_are_shown_when_neither_mirror_nor_network_will_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script = 'case "$*" in *plugin-dir*) echo no such version >&2;; *) echo no network >&2;; esac; exit 1'
        fake_terraform(tmp_path / "bin", monkeypatch, script)
        monkeypatch.setattr(shared, "find_mirror", lambda: tmp_path)
        with pytest.raises(TerraformError, match=r"(?s)no such version.*no network"):
            Terraform(tmp_path / "tf").init()

    def test_wrong_package_in_the_mirror_ends_init(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The network may have the right one, which would hide that the mirror was changed."""
        script = """case "$*" in *plugin-dir*) echo "doesn't match any of the" >&2; echo checksums >&2; exit 1;; esac"""
        program = fake_terraform(tmp_path / "bin", monkeypatch, script)
        monkeypatch.setattr(shared, "find_mirror", lambda: tmp_path)
        with pytest.raises(TerraformError, match="do not use the package"):
            Terraform(tmp_path / "tf").init()
        assert len((program / "calls").read_text().splitlines()) == 1

    def test_the_lock_file_is_made_of_the_record_and_read_only(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = fake_terraform(tmp_path / "bin", monkeypatch, "")
        Terraform(tmp_path / "tf").init()
        made = (tmp_path / "tf" / "infra" / "terraform" / LOCK).read_text()
        assert made.startswith('provider "registry.example.org/hashicorp/aws" {')
        assert "-lockfile=readonly" in (program / "calls").read_text()

    def test_a_missing_program_is_explained(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TERRAFORM", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(TerraformError, match="not installed"):
            Terraform(tmp_path / "tf").init()


class TestOpenTofu:
    def test_is_run_in_place_of_terraform(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        others = fake_terraform(tmp_path / "terraform", monkeypatch, "")
        program = fake_terraform(tmp_path / "tofu", monkeypatch, "", name="tofu")
        monkeypatch.setenv("TERRAFORM", "tofu")
        Terraform(tmp_path / "tf").init()
        Terraform(tmp_path / "tf").apply()
        calls = (program / "calls").read_text().splitlines()
        assert ["init" in calls[0], "apply" in calls[1]] == [True, True]
        assert not (others / "calls").exists()

    def test_may_be_a_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        program = fake_terraform(tmp_path / "bin", monkeypatch, "", name="tofu")
        monkeypatch.setenv("TERRAFORM", str(program / "tofu"))
        assert shared.binary() == str(program / "tofu")

    def test_a_program_that_is_not_there_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERRAFORM", "tofoo")
        with pytest.raises(TerraformError, match="no program 'tofoo', which TERRAFORM names"):
            shared.binary()


class TestEnvironment:
    def test_nothing_of_the_callers_aws_account_gets_through(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mine = {
            "AWS_PROFILE": "production",
            "AWS_ACCESS_KEY_ID": "AKIAREAL",
            "AWS_SESSION_TOKEN": "real",
            "AWS_ENDPOINT_URL_S3": "https://real",
            "AWS_CONFIG_FILE": "/home/me/.aws/config",
            "AWS_WEB_IDENTITY_TOKEN_FILE": "/token",
            "TF_VAR_environment": "production",
            "TF_WORKSPACE": "production",
            "TF_CLI_ARGS_apply": "-destroy",
        }
        for name, value in mine.items():
            monkeypatch.setenv(name, value)
        program = fake_terraform(tmp_path / "bin", monkeypatch, "")
        Terraform(tmp_path / "tf", "http://127.0.0.1:4566", variables={"name": "demo"}).apply()
        lines = (program / "env").read_text().splitlines()
        assert not [
            line for line in lines if any(value in line for value in ("real", "REAL", "production", "/home/me"))
        ]
        assert {
            "AWS_ENDPOINT_URL=http://127.0.0.1:4566",
            "AWS_ACCESS_KEY_ID=test",
            "AWS_EC2_METADATA_DISABLED=true",
            "TF_VAR_name=demo",
        } <= set(lines)
        assert not [
            line for line in lines if line.startswith(("AWS_PROFILE", "AWS_SESSION", "TF_WORKSPACE", "TF_CLI_ARGS"))
        ]

    def test_a_configuration_file_that_does_not_exist_is_dropped(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = fake_terraform(tmp_path / "bin", monkeypatch, "")
        configuration = tmp_path / "terraformrc"
        monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(configuration))
        Terraform(tmp_path / "tf").apply()
        assert "TF_CLI_CONFIG_FILE" not in (program / "env").read_text()
        configuration.touch()
        Terraform(tmp_path / "tf").apply()
        assert f"TF_CLI_CONFIG_FILE={configuration}" in (program / "env").read_text()


class TestMessages:
    def test_apply_counts_what_is_done(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        actions = {"data.x.y": "read", "a.b": "create", "c.d": "update"}
        done = [
            {"type": "apply_complete", "hook": {"resource": {"addr": address}, "action": action}}
            for address, action in actions.items()
        ]
        plan = {"type": "change_summary", "changes": {"operation": "plan", "add": 1, "change": 1, "remove": 0}}
        fake_terraform(tmp_path / "bin", monkeypatch, messages({"type": "version"}, plan, *done))
        seen: list[tuple[int, int, str]] = []
        Terraform(tmp_path / "tf").apply(lambda *progress: seen.append(progress))
        assert seen == [(0, 2, ""), (1, 2, "a.b"), (2, 2, "c.d")]

    def test_failure_shows_what_where_and_why(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        problem = {
            "severity": "error",
            "summary": "creating queue",
            "detail": "quota reached",
            "address": "module.sink.aws_sqs_queue.main",
            "range": {"filename": "modules/sink/main.tf", "start": {"line": 12}},
        }
        warning = {"severity": "warning", "summary": "deprecated", "detail": ""}
        script = messages(*({"type": "diagnostic", "diagnostic": found} for found in (warning, problem))) + "\nexit 1"
        fake_terraform(tmp_path / "bin", monkeypatch, script)
        with pytest.raises(TerraformError) as failed:
            Terraform(tmp_path / "tf").apply()
        assert str(failed.value).splitlines() == [
            "terraform apply failed:",
            "Error: creating queue",
            "  at module.sink.aws_sqs_queue.main, modules/sink/main.tf:12",
            "  quota reached",
        ]

    def test_failure_without_diagnostics_shows_the_output(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake_terraform(tmp_path / "bin", monkeypatch, "echo panic: oh dear; exit 2")
        with pytest.raises(TerraformError, match="panic: oh dear"):
            Terraform(tmp_path / "tf").apply()

    def test_a_plan_is_empty_or_says_what_it_would_do(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        change = {"type": "planned_change", "change": {"action": "update", "resource": {"addr": "a.b"}}}
        outputs = {"type": "outputs", "outputs": {"x": {"action": "noop"}, "y": {"action": "create"}}}
        fake_terraform(tmp_path / "bin", monkeypatch, messages(change, outputs))
        assert Terraform(tmp_path / "tf").planned_changes() == ["create output.y", "update a.b"]
        fake_terraform(
            tmp_path / "bin2", monkeypatch, messages({"type": "outputs", "outputs": {"x": {"action": "noop"}}})
        )
        assert Terraform(tmp_path / "tf").plan_is_empty()

    def test_an_interrupt_lets_terraform_finish(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        plan = {"type": "change_summary", "changes": {"operation": "plan", "add": 1, "change": 0, "remove": 0}}
        script = f"trap 'touch {tmp_path}/finished; exit 1' INT\n{messages(plan)}\nwhile :; do sleep 0.1; done"
        fake_terraform(tmp_path / "bin", monkeypatch, script)

        def interrupt(_done: int, _total: int, _what: str) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Terraform(tmp_path / "tf").apply(interrupt)
        assert (tmp_path / "finished").exists()


@pytest.mark.parametrize("name", ["terraform", "tofu"])
def test_leftovers_of_this_directory_are_ended_and_no_others(tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    program.write_text("#!/bin/sh\nsleep 60 &\nwait\n")
    program.chmod(0o755)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with (
        subprocess.Popen([program, f"-state={ours}/x"]) as mine,
        subprocess.Popen([program, f"-state={theirs}/x"]) as other,
    ):
        child = wait_for_child(mine)
        other_child = wait_for_child(other)

        terraform.end_leftovers(ours)

        assert has_ended(child, 0.1)
        assert mine.wait(5) == -signal.SIGKILL  # not 0, which its parent would take for success
        assert other.poll() is None
        other_child.kill()


def test_an_init_that_is_killed_has_failed_and_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_PLUGIN_MIRROR", str(provider(tmp_path / "mirror").parents[4]))
    calls = fake_terraform(tmp_path / "bin", monkeypatch, "kill -9 $$") / "calls"
    for _ in range(2):  # the next command tries it again
        with pytest.raises(TerraformError, match="SIGKILL"):
            Terraform(tmp_path / "tf").init()
    assert len([line for line in calls.read_text().splitlines() if " init " in line]) == 2


def wait_for_child(process: subprocess.Popen[bytes]) -> psutil.Process:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if children := psutil.Process(process.pid).children():
            return children[0]
        time.sleep(0.01)
    raise AssertionError("it started no child")
