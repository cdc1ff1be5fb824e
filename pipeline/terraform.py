"""Terraform as a program: find it and its provider, run it, and read its messages.

`devstack` runs it against this machine and `pipeline.deploy` against an AWS account, each with its own environment
variables.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import psutil

from pipeline import provider_lock
from pipeline.errors import CommandError
from pipeline.provider_lock import LOCK, PROVIDER, find_mirror

CONFIGURATION: Final = Path(__file__).resolve().parents[1] / "infra" / "terraform"
PARALLELISM: Final = 30
OLDEST: Final = (1, 9)
"""The oldest version that infra/terraform works with."""

# What Terraform says in its own lines, which break anywhere.
_WRONG_CHECKSUM: Final = re.compile(r"doesn't\s+match\s+any\s+of\s+the\s+checksums")
_NOT_RECORDED: Final = re.compile(
    rf"{_WRONG_CHECKSUM.pattern}|Provider\s+dependency\s+changes|does\s+not\s+match\s+configured\s+version"
)
_ADDRESS: Final = re.compile(r"provider\[([^\]]+)\]")

Message: TypeAlias = dict[str, Any]
"""One line of Terraform's JSON output; see "Machine-readable UI" in Terraform's documentation."""


class TerraformError(CommandError):
    """Terraform is missing or failed; the message holds its diagnostics, and `problems` the original messages."""

    def __init__(self, message: str, problems: Sequence[Message] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


def _nothing() -> None:
    """Do nothing at an interrupt: the default."""


@dataclass(frozen=True)
class Program:
    """Terraform in one directory, with exactly this environment.

    After an interrupt Terraform has `grace_seconds` to finish running operations and write its state, before it and its
    provider are killed; None sets no limit. `interrupted` is called when that wait begins.
    """

    directory: Path
    environment: Mapping[str, str]
    grace_seconds: float | None = 10
    interrupted: Callable[[], None] = _nothing

    def run(self, *arguments: str, stdin: str = "", timeout: float | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command and return its output, even if it failed. Raises TimeoutExpired after `timeout`."""
        return subprocess.run(  # noqa: S603 - terraform from PATH with arguments of ours
            [binary(), f"-chdir={self.directory}", *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=timeout,
        )

    def stream(self, command: str, *arguments: str) -> Iterator[Message]:
        """Run a command that reports in JSON lines and yield them. Raises TerraformError with its diagnostics."""
        problems: list[Message] = []
        other: list[str] = []
        process = subprocess.Popen(  # noqa: S603 - terraform from PATH with arguments of ours
            [binary(), f"-chdir={self.directory}", command, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # only this program interrupts it, once, and not the terminal as well
        )
        if process.stdout is None:
            raise AssertionError("stdout is a pipe")
        try:
            for line in process.stdout:
                try:
                    message: Message = json.loads(line)
                except ValueError:
                    other.append(line.rstrip())
                    continue
                if message.get("type") == "diagnostic" and message["diagnostic"]["severity"] == "error":
                    problems.append(message["diagnostic"])
                yield message
            process.wait()
        finally:
            if process.poll() is None:
                self.interrupted()
                _interrupt(process, self.grace_seconds)
            process.stdout.close()
        if process.returncode != 0:
            said = describe(problems) or "\n".join(other[-15:]) or f"exit code {process.returncode}"
            raise TerraformError(f"terraform {command} failed:\n{said}", problems)

    def init(self, record: Path, *options: str) -> None:
        """Install modules and the recorded providers, from a mirror on this machine, else the network.

        Terraform installs a package only if the record has its checksum, and compares again when it runs the provider.
        """
        recorded = provider_lock.read(record).items()
        lock = {provider_address(source, self.environment): provider for source, provider in recorded}
        (self.directory / LOCK).write_text(provider_lock.lock_file(lock))
        failed = self._try_to_init(("-lockfile=readonly", *options))
        if not failed:
            return
        advice = (
            "Without a network, set TF_PLUGIN_MIRROR to a directory made by "
            f"`{program_name()} providers mirror` and unpacked."
        )
        if _NOT_RECORDED.search(failed):
            advice = (
                f"The package or the version is not the one that {record.name} records. If you have changed the "
                "version, or run another program than Terraform: make lock-providers. If not, do not use the package."
            )
        raise TerraformError(f"{program_name()} init could not install the provider {PROVIDER}:\n{failed}\n{advice}")

    def _try_to_init(self, options: Iterable[str]) -> str:
        """Run `init` with a mirror, then the network; return the output of the failures, or nothing if one succeeds.

        A package whose checksum is wrong ends it: the network would hide that the mirror was changed.
        """
        failed = []
        for way in _ways_to_init():
            done = self.run("init", "-no-color", "-input=false", *way, *options)
            if done.returncode == 0:
                return ""
            if done.returncode < 0:  # by a signal, such as Ctrl-C: do not try another way
                raise TerraformError(f"{program_name()} init was ended by {signal.Signals(-done.returncode).name}.")
            failed.append(done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}")
            if _WRONG_CHECKSUM.search(failed[-1]):
                break
        return "\n".join(dict.fromkeys(failed))

    def outputs(self, *options: str) -> dict[str, Any]:
        """Return the outputs of the last apply by name; none before the first apply."""
        done = self.run("output", "-json", *options)
        if done.returncode != 0:
            raise TerraformError(f"terraform output failed:\n{done.stderr.strip()}")
        return {name: output["value"] for name, output in json.loads(done.stdout).items()}


def stage(source: Path, directory: Path, leave: Container[str] = ()) -> None:
    """Link a configuration into the directory in which Terraform runs and writes, without the files in `leave`."""
    directory.mkdir(parents=True, exist_ok=True)
    wanted = {path.name: path for path in source.iterdir() if _belongs(path) and path.name not in leave}
    for old in directory.iterdir():
        if old.is_symlink() and (old.name not in wanted or not old.exists()):
            old.unlink()
    for name, path in wanted.items():
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(path, directory))


def provider_address(source: str, environment: Mapping[str, str]) -> str:
    """Return the whole address of a provider's source: the program adds its registry's name where that is missing."""
    with tempfile.TemporaryDirectory() as scratch:
        required = f"required_providers {{\n    it = {{ source = {json.dumps(source)} }}\n  }}"
        (Path(scratch) / "main.tf").write_text(f"terraform {{\n  {required}\n}}\n")
        done = Program(Path(scratch), environment).run("providers", "-no-color")
    if found := _ADDRESS.search(done.stdout):
        return found[1]
    raise TerraformError(
        f"`{program_name()} providers` did not name {source}:\n{done.stderr.strip() or done.stdout.strip()}"
    )


def program_name() -> str:
    """Return the name of the program: `terraform`, or the value of TERRAFORM in the environment, such as `tofu`."""
    return os.environ.get("TERRAFORM") or "terraform"


def binary() -> str:
    """Return the path of the program. Raises TerraformError, which says how to install it."""
    if found := shutil.which(program_name()):
        return found
    if program_name() != "terraform":
        raise TerraformError(f"There is no program {program_name()!r}, which TERRAFORM names.")
    raise TerraformError(
        "Terraform is not installed: there is no `terraform` on PATH. It comes as one file, from HashiCorp's "
        "installation page or your system's package manager; version 1.9 or later is needed. "
        "For OpenTofu, set TERRAFORM=tofu."
    )


def inherited_environment() -> dict[str, str]:
    """Return the caller's environment without variables that would change Terraform's state or options."""
    kept = {
        variable: value
        for variable, value in os.environ.items()
        if variable not in ("TF_WORKSPACE", "TF_DATA_DIR") and not variable.startswith("TF_CLI_ARGS")
    }
    configuration = kept.get("TF_CLI_CONFIG_FILE")
    if configuration and not Path(configuration).exists():
        del kept["TF_CLI_CONFIG_FILE"]  # Terraform would warn on every run
    return kept | {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}


def version() -> str:
    """Return the version of the program, such as 1.11.4. Raises TerraformError if it is older than OLDEST."""
    done = subprocess.run(  # noqa: S603 - terraform from PATH with arguments of ours
        [binary(), "version", "-json"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    try:
        found = str(json.loads(done.stdout)["terraform_version"])
        numbers = tuple(int(part) for part in found.split("-")[0].split(".")[:2])
    except (ValueError, KeyError):
        raise TerraformError(f"`{binary()} version -json` did not give a version:\n{done.stderr.strip()}") from None
    if numbers < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise TerraformError(f"Terraform {found} ({binary()}) is too old: version {needed} or later is needed.")
    return found


def describe(problems: Iterable[Message]) -> str:
    """Write diagnostics for a reader: the problem, its place and its cause."""
    described = []
    for problem in problems:
        place = [problem["address"]] if problem.get("address") else []
        if span := problem.get("range"):
            place.append(f"{span['filename']}:{span['start']['line']}")
        severity = problem.get("severity", "error").capitalize()
        lines = [f"{severity}: {problem['summary']}", *([f"  at {', '.join(place)}"] if place else [])]
        lines += [f"  {line}" for line in problem.get("detail", "").strip().splitlines()]
        described.append("\n".join(lines))
    return "\n".join(described)


def _ways_to_init() -> Iterator[list[str]]:
    """Yield the options to try in turn: a mirror on this machine if there is one, then the network."""
    mirror = find_mirror()
    if mirror:
        yield [f"-plugin-dir={mirror}"]
    if not os.environ.get("TF_PLUGIN_MIRROR"):
        yield []


def _belongs(path: Path) -> bool:
    """Return whether a file is part of a configuration, and not one that a run of Terraform left there."""
    return not path.name.startswith(".") and (path.is_dir() or path.suffix in (".tf", ".json"))


def _interrupt(process: subprocess.Popen[str], grace_seconds: float | None) -> None:
    """Ask Terraform to finish; kill it with its provider after the grace period or at another interrupt."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=grace_seconds)  # keep reading: a closed pipe would kill Terraform
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        for child in family:
            with suppress(psutil.Error):
                child.kill()
