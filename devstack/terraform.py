"""The real Terraform, run on infra/terraform against an endpoint on this machine, with state in a local directory.

It stages the configuration there as a deployment does, so that Terraform writes nothing beside it.

Terraform does not see the caller's AWS configuration: this module builds its environment name by name, so a local apply
can never touch a real account.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import psutil

from devstack.processes import kill
from pipeline.errors import CommandError
from pipeline.provider_lock import LOCK, RECORD, find_mirror
from pipeline.terraform import (
    CONFIGURATION,
    PARALLELISM,
    Program,
    TerraformError,
    describe,
    program_name,
    stage,
)

# Variables that Terraform and its provider inherit: places of programs, certificates and proxies, and Terraform's own
# setup. No AWS_*, TF_VAR_*, TF_WORKSPACE or TF_CLI_ARGS.
INHERITED: Final = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_DATA_DIRS",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR", "TF_LOG", "TF_LOG_PATH", "GOGC", "GOMEMLIMIT",
)  # fmt: skip

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called with the number of done changes, of planned changes (0 while planning), and the last change."""


def aws_environment(endpoint: str, region: str) -> dict[str, str]:
    """Return the variables that make an AWS client use `endpoint` with test credentials and no shared configuration."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@dataclass(frozen=True)
class Terraform:
    """One local deployment: `directory` has state and providers, `variables` are passed as TF_VAR_….

    `configuration` is infra/terraform, or a module of it for that module's own tests. `interrupted`: see `Program`.
    """

    directory: Path
    endpoint: str = "http://127.0.0.1:9"  # no server is there: enough for init, validate and fmt
    region: str = "us-east-1"
    variables: Mapping[str, str] = field(default_factory=dict)
    var_file: Path | None = None
    configuration: Path = CONFIGURATION
    interrupted: Callable[[], None] = lambda: None
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further variables of Terraform itself, such as TF_REATTACH_PROVIDERS."""

    @property
    def state(self) -> Path:
        """Return the path of the state file."""
        return self.directory.resolve() / "terraform.tfstate"

    @property
    def _staged(self) -> Path:
        """Return the staged configuration, two levels below the directory as it is below the clone."""
        return self.directory.resolve() / "infra" / "terraform"

    @property
    def _data(self) -> Path:
        return self.directory.resolve() / "data"

    def init(self) -> None:
        """Install the provider and the modules; quick if nothing has changed since the last time."""
        self._data.mkdir(parents=True, exist_ok=True)
        marker = self.directory / "initialised"
        stage(self.configuration, self._staged, leave=("environments",))
        if marker.exists() and marker.read_text() == self._installation():
            return
        self._program.init(CONFIGURATION / RECORD, "-backend=false")
        marker.write_text(self._installation())

    def apply(self, progress: Progress = lambda _done, _total, _what: None) -> None:
        """Apply the configuration. An interrupt lets Terraform write its state first."""
        done, total = 0, 0
        for message in self._stream("apply", "-auto-approve", f"-parallelism={PARALLELISM}", *self._inputs()):
            match message.get("type"):
                case "change_summary" if message["changes"]["operation"] == "plan":
                    total = sum(message["changes"][kind] for kind in ("add", "change", "remove"))
                    progress(done, total, "")
                case "apply_complete" if message["hook"]["action"] != "read":  # the plan's count has no data sources
                    done += 1
                    progress(done, total, message["hook"]["resource"]["addr"])

    def planned_changes(self) -> list[str]:
        """Return the changes of an apply as `action address`; none if state and configuration agree."""
        changes = []
        for message in self._stream("plan", f"-parallelism={PARALLELISM}", *self._inputs()):
            match message.get("type"):
                case "planned_change":
                    changes.append(f"{message['change']['action']} {message['change']['resource']['addr']}")
                case "outputs":
                    planned = {name: output.get("action") for name, output in message["outputs"].items()}
                    changes += [f"{action} output.{name}" for name, action in planned.items() if action != "noop"]
        return sorted(changes)

    def plan_is_empty(self) -> bool:
        """Return whether an apply would change nothing."""
        return not self.planned_changes()

    def destroy(self, progress: Progress = lambda _done, _total, _what: None) -> None:
        """Delete everything in the state."""
        done = 0
        for message in self._stream("destroy", "-auto-approve", f"-parallelism={PARALLELISM}", *self._inputs()):
            if message.get("type") == "apply_complete":
                done += 1
                progress(done, 0, message["hook"]["resource"]["addr"])

    def outputs(self) -> dict[str, Any]:
        """Return the outputs of the last apply, by name."""
        # Beside the configuration: with it, Terraform would hash the provider's program first.
        return replace(self._program, directory=self.directory.resolve()).outputs(f"-state={self.state}")

    def validate(self) -> None:
        """Check the configuration, after `init`. Raises TerraformError with the diagnostics."""
        done = self._run("validate", "-json")
        found = json.loads(done.stdout)["diagnostics"] if done.stdout.startswith("{") else []
        if done.returncode != 0:
            raise TerraformError("terraform validate:\n" + (describe(found) or done.stderr.strip()))

    def fmt(self) -> None:
        """Check the format of the files. Raises TerraformError with the difference."""
        # In place: fmt does not follow links to directories.
        done = Program(self.configuration, self._environment()).run("fmt", "-check", "-recursive", "-diff", "-no-color")
        if done.returncode != 0:
            raise TerraformError(f"terraform fmt would change:\n{(done.stdout or done.stderr).strip()}")

    def discard(self) -> None:
        """End processes of an earlier, killed run, and delete the state, whose resources no longer exist."""
        end_leftovers(self.directory)
        for path in self.directory.glob("*tfstate*"):
            path.unlink()

    # --- running it ---

    def _inputs(self) -> list[str]:
        inputs = ["-json", "-input=false", f"-state={self.state}"]
        return [*inputs, f"-var-file={self.var_file.resolve()}"] if self.var_file else inputs

    def _environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        configuration = inherited.get("TF_CLI_CONFIG_FILE")
        if configuration and not Path(configuration).exists():
            del inherited["TF_CLI_CONFIG_FILE"]  # Terraform would warn on every run
        return (
            inherited
            | aws_environment(self.endpoint, self.region)
            | {f"TF_VAR_{name}": value for name, value in self.variables.items()}
            | {"TF_DATA_DIR": str(self._data), "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
            | dict(self.settings)
        )

    @property
    def _program(self) -> Program:
        return Program(self._staged, self._environment(), interrupted=self.interrupted)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._program.run(*arguments)

    def _stream(self, command: str, *arguments: str) -> Iterator[dict[str, Any]]:
        return self._program.stream(command, *arguments)

    def _installation(self) -> str:
        """Return a digest of the inputs of an init: program, configuration, recorded providers, mirror."""
        digest = hashlib.sha256(f"{program_name()} {find_mirror()}".encode())
        for path in [*sorted(self.configuration.rglob("*.tf")), CONFIGURATION / RECORD, self._staged / LOCK]:
            digest.update(path.read_bytes() if path.exists() else b"")
        return digest.hexdigest()


def end_leftovers(directory: Path) -> None:
    """End Terraform processes of an earlier run on `directory` whose caller was killed: they hold the state's lock."""
    mine = str(directory.resolve())
    family: list[psutil.Process] = []
    for process in psutil.process_iter(["name"]):
        if any(program in (process.info["name"] or "") for program in ("terraform", "tofu")):
            with suppress(psutil.Error):
                if any(mine in argument for argument in process.cmdline()):
                    family += [process, *process.children(recursive=True)]
    kill(family)


def check() -> None:
    """Check the format of infra/terraform and validate it, for `make check`."""
    terraform = Terraform(CONFIGURATION.parents[1] / ".local" / "terraform")
    terraform.directory.mkdir(parents=True, exist_ok=True)
    terraform.init()
    terraform.fmt()
    terraform.validate()


if __name__ == "__main__":
    try:
        check()
    except CommandError as problem:
        raise SystemExit(str(problem)) from None
