"""The real Terraform, run on infra/terraform against an endpoint on this machine, with state in a local directory.

Nothing of the caller's AWS configuration reaches it: the environment of the child is built here, name by name, so a
local apply can never touch a real account.
"""

import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import psutil

from pipeline.local import StackError

CONFIGURATION: Final = Path(__file__).resolve().parents[2] / "infra" / "terraform"
PROVIDER: Final = "hashicorp/aws"
PARALLELISM: Final = 30
# How long Terraform may take after an interrupt to wind up what is in flight and write its state.
INTERRUPT_SECONDS: Final = 10

# What Terraform and its provider may inherit: where programs, certificates and proxies are, and how Terraform itself
# is set up. No AWS_*, TF_VAR_*, TF_WORKSPACE or TF_CLI_ARGS.
INHERITED: Final = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_DATA_DIRS",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR", "TF_LOG", "TF_LOG_PATH",
)  # fmt: skip

# Directories that hold provider mirrors: Terraform's own by convention, and where images and packages put things.
MIRROR_ROOTS: Final = (
    "~/.terraform.d/plugins",
    "$XDG_DATA_HOME/terraform/plugins",
    "~/.local/share/terraform/plugins",
    "/usr/local/share/terraform/plugins",
    "/usr/share/terraform/plugins",
    "/opt/*",
    "/usr/local/lib/*",
    "/usr/local/share/*",
)

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called with: how many changes are done, how many are planned (0 while planning), what was done last."""


class TerraformError(StackError):
    """Terraform is missing or failed; the message holds its own diagnostics."""


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
    """One local deployment: `directory` keeps state and providers, `variables` go in as TF_VAR_…."""

    directory: Path
    endpoint: str = "http://127.0.0.1:9"  # nobody answers there: enough for init, validate and fmt
    region: str = "us-east-1"
    variables: Mapping[str, str] = field(default_factory=dict)
    var_file: Path | None = None

    @property
    def state(self) -> Path:
        """The state file."""
        return self.directory.resolve() / "terraform.tfstate"

    @property
    def _data(self) -> Path:
        return self.directory.resolve() / "data"

    def init(self) -> None:
        """Install the provider and the modules; at once when nothing has changed since the last time."""
        self._data.mkdir(parents=True, exist_ok=True)
        marker = self.directory / "initialised"
        if marker.exists() and marker.read_text() == self._installation():
            return
        failed = ""
        for options in self._ways_to_init():
            done = self._run("init", "-no-color", "-backend=false", *options)
            if done.returncode == 0:
                marker.write_text(self._installation())
                return
            failed = done.stderr.strip() or done.stdout.strip()
        raise TerraformError(
            f"terraform init could not install the provider {PROVIDER}:\n{failed}\n"
            "Without a network, set TF_PLUGIN_MIRROR to a directory made by `terraform providers mirror` and unpacked."
        )

    def apply(self, progress: Progress = lambda _done, _total, _what: None) -> None:
        """Create or change what the configuration says. An interrupt lets Terraform write its state first."""
        done, total = 0, 0
        for message in self._stream("apply", "-auto-approve", f"-parallelism={PARALLELISM}", *self._inputs()):
            match message.get("type"):
                case "change_summary" if message["changes"]["operation"] == "plan":
                    total = sum(message["changes"][kind] for kind in ("add", "change", "remove"))
                    progress(done, total, "")
                case "apply_complete" if (
                    message["hook"]["action"] != "read"
                ):  # data sources are not in the plan's count
                    done += 1
                    progress(done, total, message["hook"]["resource"]["addr"])

    def planned_changes(self) -> list[str]:
        """Return what an apply would do now, as `action address`; nothing when state and configuration agree."""
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
        """Whether an apply would change nothing."""
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
        done = self._run("output", "-json", f"-state={self.state}")
        if done.returncode != 0:
            raise TerraformError(f"terraform output failed:\n{done.stderr.strip()}")
        return {name: output["value"] for name, output in json.loads(done.stdout).items()}

    def validate(self) -> None:
        """Check the configuration; `init` comes first. Raises TerraformError with what is wrong."""
        done = self._run("validate", "-json")
        found = json.loads(done.stdout)["diagnostics"] if done.stdout.startswith("{") else []
        if done.returncode != 0:
            raise TerraformError("terraform validate:\n" + (_describe(found) or done.stderr.strip()))

    def fmt(self) -> None:
        """Check the layout of the files. Raises TerraformError with the difference."""
        done = self._run("fmt", "-check", "-recursive", "-diff", "-no-color")
        if done.returncode != 0:
            raise TerraformError(f"terraform fmt would change:\n{(done.stdout or done.stderr).strip()}")

    def discard(self) -> None:
        """Forget the state, for when what it describes is gone. Processes of an earlier, killed run are ended first."""
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
        )

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - terraform from PATH with arguments of ours
            [_binary(), f"-chdir={CONFIGURATION}", *arguments],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def _stream(self, command: str, *arguments: str) -> Iterator[dict[str, Any]]:
        """Run a command that reports in JSON lines and yield them. Raises TerraformError with its diagnostics."""
        problems: list[dict[str, Any]] = []
        other: list[str] = []
        process = subprocess.Popen(  # noqa: S603 - terraform from PATH with arguments of ours
            [_binary(), f"-chdir={CONFIGURATION}", command, *arguments],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # it gets an interrupt from us, once, and not from the terminal as well
        )
        if process.stdout is None:
            raise AssertionError("stdout is a pipe")
        try:
            for line in process.stdout:
                try:
                    message: dict[str, Any] = json.loads(line)
                except ValueError:
                    other.append(line.rstrip())
                    continue
                if message.get("type") == "diagnostic" and message["diagnostic"]["severity"] == "error":
                    problems.append(message["diagnostic"])
                yield message
            process.wait()
        finally:
            if process.poll() is None:
                _interrupt(process)
            process.stdout.close()
        if process.returncode != 0:
            said = _describe(problems) or "\n".join(other[-15:]) or f"exit code {process.returncode}"
            raise TerraformError(f"terraform {command} failed:\n{said}")

    def _ways_to_init(self) -> Iterator[list[str]]:
        """Yield the options to try in turn: a mirror on this machine if there is one, then the network."""
        mirror = find_mirror()
        if mirror:
            yield [f"-plugin-dir={mirror}"]
            # A lock file from elsewhere may name a version that the mirror lacks.
            yield [f"-plugin-dir={mirror}", "-upgrade"]
        if not os.environ.get("TF_PLUGIN_MIRROR"):
            yield []

    def _installation(self) -> str:
        """Return a digest of what an init depends on: the configuration, the locked versions, the mirror."""
        digest = hashlib.sha256(str(find_mirror()).encode())
        for path in [*sorted(CONFIGURATION.rglob("*.tf")), CONFIGURATION / ".terraform.lock.hcl"]:
            digest.update(path.read_bytes() if path.exists() else b"")
        return digest.hexdigest()


def find_mirror(roots: Iterable[str] = MIRROR_ROOTS) -> Path | None:
    """Return a directory that holds the provider unpacked for this machine, as `HOST/hashicorp/aws/VERSION/OS_ARCH`.

    `TF_PLUGIN_MIRROR` in the environment decides alone. Raises TerraformError when it names no directory.
    """
    if chosen := os.environ.get("TF_PLUGIN_MIRROR"):
        if not Path(chosen).is_dir():
            raise TerraformError(f"TF_PLUGIN_MIRROR is {chosen}, which is not a directory.")
        return Path(chosen).resolve()
    for root in roots:
        path = Path(os.path.expandvars(root)).expanduser()
        if not path.is_absolute():
            continue  # a variable that is not set
        candidates = sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
        for candidate in candidates:
            with suppress(PermissionError):
                if any(found.is_dir() for found in candidate.glob(f"*/{PROVIDER}/*/{machine()}")):
                    return candidate
    return None


def machine() -> str:
    """Return this machine's platform as Terraform writes it, such as linux_amd64."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    return f"{platform.system().lower()}_{names.get(platform.machine(), platform.machine())}"


def end_leftovers(directory: Path) -> None:
    """End Terraform processes of an earlier run on `directory` whose caller was killed: they hold the state's lock."""
    mine = str(directory.resolve())
    family: list[psutil.Process] = []
    for process in psutil.process_iter(["name"]):
        if "terraform" in (process.info["name"] or ""):
            with suppress(psutil.Error):
                if any(mine in argument for argument in process.cmdline()):
                    family += [process, *process.children(recursive=True)]
    for process in family:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(family, timeout=10)


def _binary() -> str:
    found = shutil.which("terraform")
    if not found:
        raise TerraformError(
            "Terraform is not installed: there is no `terraform` on PATH. It comes as one file, from HashiCorp's "
            "installation page or your system's package manager; version 1.9 or later is needed."
        )
    return found


def _interrupt(process: subprocess.Popen[str]) -> None:
    """Ask Terraform to finish, and end it with its provider if it does not."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=INTERRUPT_SECONDS)  # reads on: Terraform would die of a closed pipe
    except subprocess.TimeoutExpired:
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        for child in family:
            with suppress(psutil.Error):
                child.kill()


def _describe(problems: list[dict[str, Any]]) -> str:
    """Write diagnostics for a reader: what, where, why."""
    described = []
    for problem in problems:
        place = [problem["address"]] if problem.get("address") else []
        if span := problem.get("range"):
            place.append(f"{span['filename']}:{span['start']['line']}")
        lines = [f"Error: {problem['summary']}", *([f"  at {', '.join(place)}"] if place else [])]
        lines += [f"  {line}" for line in problem.get("detail", "").strip().splitlines()]
        described.append("\n".join(lines))
    return "\n".join(described)


def check() -> None:
    """Check the layout of infra/terraform and validate it, as `make check` does."""
    terraform = Terraform(CONFIGURATION.parents[1] / ".local" / "terraform")
    terraform.directory.mkdir(parents=True, exist_ok=True)
    terraform.init()
    terraform.fmt()
    terraform.validate()


if __name__ == "__main__":
    try:
        check()
    except StackError as problem:
        raise SystemExit(str(problem)) from None
