"""One deployment on this machine: its variables, the place of its state, and Terraform ready to run on it.

The configuration is staged in `.deploy/NAME/`: links to infra/terraform, two levels below the root as that is, so that
its relative paths work. This directory can have a backend without a change of the configuration, and gives each
deployment its own providers, plans and (without a remote backend) state.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pipeline.deploy import DeployError
from pipeline.locks import exclusive
from pipeline.packaging import ROOT
from pipeline.provider_lock import LOCK, RECORD, find_mirror
from pipeline.terraform import (
    Program,
    TerraformError,
    inherited_environment,
    program_name,
    stage,
)

# The parts that a deployment does not need: examples and tests.
NOT_STAGED: Final = ("environments", "examples", "tests")
_MODULE: Final = "modules/auth0-sync"
VARIABLES: Final = ("aws.tf", *(f"{_MODULE}/{name}" for name in ("variables.tf", "watchable.tf", "generated.json")))
"""The files that declare the variables, the module's with their types, and the inputs of their validations."""
BACKEND: Final = 'terraform {\n  backend "s3" {}\n}\n'

SETTINGS: Final = {
    "name": "name",
    "environment": "environment",
    "region": "region",
    "source_region": "auth0.source_region",
    "log_stream_source_name": "auth0.log_stream_source_name",
    "event_stream_source_name": "auth0.event_stream_source_name",
    "create_buses": "auth0.create_buses",
    "package_dir": "package_dir",
    "lambda_architecture": "lambda.architecture",
    "protect_data": "protect_data",
    "maximum_concurrency": "sync.maximum_concurrency",
    "refresh": "refresh",
    "backfill": "backfill",
}
"""Settings that the commands read by Terraform's own evaluation, with the expression of each."""

REQUIRED: Final = ("environment", "auth0")
"""The variables without a default."""

PLACEHOLDER: Final = "CHANGE-ME"
"""Placeholder in the examples for a value that only the operator knows."""

_NAMES: Final = "{name = var.name, environment = var.environment}"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def _nothing() -> None:
    """Do nothing at an interrupt: the default."""


@dataclass(frozen=True)
class State:
    """The outputs of the last apply, and the address of every resource, without data sources.

    `functions` has the names of the functions, `mappings` the UUIDs of their event source mappings. Outputs may lack
    them, or name others: a failed apply writes only some, and they outlive what they name.
    """

    outputs: dict[str, Any]
    resources: list[str]
    functions: list[str] = field(default_factory=list)
    mappings: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, text: str) -> "State":
        """Read what `terraform state pull` prints. Raises TerraformError if the format is not version 4."""
        stored = json.loads(text or '{"version": 4}')
        if stored["version"] != 4:
            raise TerraformError(f"The format of Terraform's state is version {stored['version']}, not 4.")
        outputs = {name: output["value"] for name, output in stored.get("outputs", {}).items()}
        managed = [resource for resource in stored.get("resources", []) if resource["mode"] == "managed"]

        def attributes(kind: str, name: str) -> list[str]:
            found = (each.get("attributes", {}) for one in managed if one["type"] == kind for each in one["instances"])
            return sorted(each[name] for each in found if name in each)

        return cls(
            outputs,
            sorted(_address(one, each) for one in managed for each in one["instances"]),
            attributes("aws_lambda_function", "function_name"),
            attributes("aws_lambda_event_source_mapping", "uuid"),
        )


def _address(resource: Mapping[str, Any], instance: Mapping[str, Any]) -> str:
    """Return the address of an instance, as Terraform writes it."""
    parts = filter(None, (resource.get("module"), resource["type"], resource["name"]))
    key = instance.get("index_key")
    return ".".join(parts) + ("" if key is None else f"[{json.dumps(key)}]")


@dataclass(frozen=True)
class Deployment:
    """The deployment that `infra/terraform/environments/NAME.tfvars` describes. `interrupted`: see `Program`."""

    name: str
    root: Path = ROOT
    interrupted: Callable[[], None] = _nothing

    @classmethod
    def find(cls, name: str, root: Path = ROOT, interrupted: Callable[[], None] = _nothing) -> "Deployment":
        """Return the deployment of that name. Raises DeployError, which lists the existing ones, if there is none."""
        found = cls(name, root, interrupted)
        if _NAME.fullmatch(name) and found.variables_file.is_file():
            return found
        found.require_clone()
        there = sorted(path.stem for path in found.environments.glob("*.tfvars"))
        example = found.environments / "production.tfvars"
        copy = found.environments / f"{name if _NAME.fullmatch(name) else 'NAME'}.tfvars"
        raise DeployError(
            (f"There is no environment {name!r}" if name else "No environment is named (ENV=NAME, or --env NAME)")
            + f"; there are {', '.join(there) or 'none'}. Make it: make init ENV={copy.stem}\n"
            f"Or copy the example that is nearest to what you want:\n  cp {_shown(example, root)} {_shown(copy, root)}"
        )

    @classmethod
    def named(cls, name: str, root: Path = ROOT) -> "Deployment":
        """Return the deployment of that name, which need not exist. Raises DeployError if no file can have the name."""
        found = cls(name, root)
        found.require_clone()
        if not _NAME.fullmatch(name):
            raise DeployError(f"{name!r} cannot be the name of an environment: use letters, digits, _ and -.")
        return found

    def require_clone(self) -> None:
        """Raise DeployError outside a clone of the repository."""
        if not self.configuration.is_dir():
            raise DeployError(
                "A deployment needs a clone of the repository, with infra/terraform; run `make setup` in the clone, "
                "and this command from the clone's .venv"
            )

    @property
    def configuration(self) -> Path:
        """Return the directory of the Terraform configuration and the record of its providers."""
        return self.root / "infra" / "terraform"

    @property
    def environments(self) -> Path:
        """Return the directory with the variables of each deployment."""
        return self.configuration / "environments"

    @property
    def variables_file(self) -> Path:
        """Return the file of the variables, which the operator writes."""
        return self.environments / f"{self.name}.tfvars"

    @property
    def backend_file(self) -> Path:
        """Return the file that places the state in S3: bucket, key, region and use_lockfile. It is optional."""
        return self.environments / f"{self.name}.s3.tfbackend"

    @property
    def directory(self) -> Path:
        """Return the directory in which Terraform runs and keeps its files."""
        return self.root / ".deploy" / self.name

    @property
    def plan_file(self) -> Path:
        """Return the file of the plan to show and apply. It holds the values of sensitive variables."""
        return self.directory / "plan.tfplan"

    @property
    def packages(self) -> Path:
        """Return the directory of the functions' packages, unless the variables name another."""
        return self.root / "build" / "packages" / "lambda"

    @property
    def terraform(self) -> Program:
        """Return Terraform in the caller's environment, without variables that change its state or its options."""
        environment = inherited_environment() | {"TF_VAR_env": self.name}
        return Program(self.directory, environment, grace_seconds=None, interrupted=self.interrupted)

    @property
    def inputs(self) -> list[str]:
        """Return the options of every command that reads the variables."""
        return ["-input=false", f"-var-file={self.variables_file}"]

    def prepare(self) -> None:
        """Stage the configuration and install its providers and modules; quick if nothing has changed."""
        self._stage()
        marker = self.directory / ".terraform" / "initialised"
        if marker.exists() and marker.read_text() == self._installation():
            return
        if self.backend_file.exists():
            self._refuse_two_states()
            self.terraform.init(self.configuration / RECORD, f"-backend-config={self.backend_file}")
        else:
            self.terraform.init(self.configuration / RECORD)
        marker.write_text(self._installation())

    def settings(self) -> dict[str, Any]:
        """Return the variables in SETTINGS. Raises DeployError if a required one is not set."""
        for number, line in placeholders(self.variables_file.read_text()).items():
            place = f"{_shown(self.variables_file, self.root)}:{number}"
            raise DeployError(f"{place} still has the example's {PLACEHOLDER}:\n  {line.strip()}")
        found = self._evaluate(f"{{{', '.join(f'{name} = var.{variable}' for name, variable in SETTINGS.items())}}}")
        if found is None:
            missing = [name for name in REQUIRED if self._evaluate(f"{{{name} = var.{name}}}") is None]
            raise DeployError(
                f"{' and '.join(missing)} must be set, in {_shown(self.variables_file, self.root)} or as "
                f"{' and '.join(f'TF_VAR_{name}' for name in missing)}. docs/deploy.md says where to find the values."
            )
        return found

    def namesakes(self, settings: Mapping[str, Any]) -> list[str]:
        """Return the other environments whose resources would have the same names."""
        found = []
        for path in sorted(self.environments.glob("*.tfvars")):
            text = path.read_text()
            if path == self.variables_file or PLACEHOLDER in text or f'"{settings["environment"]}"' not in text:
                continue  # itself, an example that it may be a copy of, or another environment
            with suppress(TerraformError):  # an incomplete file, which cannot be deployed
                if self._evaluate(_NAMES, path) == {name: settings[name] for name in ("name", "environment")}:
                    found.append(path.stem)
        return found

    def _evaluate(self, expression: str, variables: Path | None = None) -> dict[str, Any] | None:
        """Return the value of an object, or None if any variable in it has none. Raises TerraformError."""
        done = self._variables().run(
            "console", f"-var-file={variables or self.variables_file}", stdin=f"jsonencode({expression})\n"
        )
        # Terraform prints warnings before the answer, which is one line: JSON, in the quotes of a string.
        answer = (done.stdout.strip().splitlines() or [""])[-1]
        if answer == "(known after apply)":
            return None
        if done.returncode != 0 or not answer.startswith('"'):
            raise TerraformError(f"terraform could not read the variables:\n{_plain(done.stderr).strip()}")
        value: dict[str, Any] = json.loads(json.loads(answer))
        return value

    def _variables(self) -> Program:
        """Return Terraform on the variables alone: with the resources it would take seconds to load the provider.

        The module requires `package_dir`, for which the root has a default; it is empty here.
        """
        files = [self.configuration / name for name in VARIABLES]
        return self._apart("variables", files, {"TF_VAR_package_dir": ""})

    def _apart(self, name: str, files: Iterable[Path], environment: Mapping[str, str]) -> Program:
        """Return Terraform in a directory of its own with links to those of `files` that exist.

        `environment` has defaults for variables that the caller's environment does not set.
        """
        directory = self.root / ".deploy" / f"{self.name}.{name}"
        directory.mkdir(parents=True, exist_ok=True)
        for file in files:
            link = directory / file.name
            if not file.exists():
                link.unlink(missing_ok=True)
            elif not link.is_symlink():
                link.symlink_to(os.path.relpath(file, directory))
        terraform = self.terraform
        return replace(terraform, directory=directory, environment={**environment, **terraform.environment})

    def state(self) -> State:
        """Return the state's outputs and resources; none before the first apply. Raises TerraformError."""
        done = self._backend().run("state", "pull")
        if done.returncode != 0:
            raise TerraformError(f"terraform state pull failed:\n{done.stderr.strip()}")
        return State.read(done.stdout)

    def _backend(self) -> Program:
        """Return Terraform on the state alone: with the configuration it would hash the provider's program each time.

        It has the backend that `prepare` has set up, or a link to the state on this machine.
        """
        files = [self.directory / name for name in ("backend.tf", "terraform.tfstate")]
        return self._apart("state", files, {"TF_DATA_DIR": str(self.directory / ".terraform")})

    def deployed(self) -> dict[str, Any]:
        """Return the outputs of an existing deployment. Raises DeployError if there is none."""
        state = self.state()
        # Outputs outlive a destroy that keeps the data.
        if not state.outputs or not any(".aws_lambda_function." in address for address in state.resources):
            raise DeployError(
                f"Nothing is deployed as {self.name}, by its state. Deploy it: make deploy ENV={self.name}"
            )
        return state.outputs

    def lock(self) -> AbstractContextManager[None]:
        """Lock the staged files against other commands on this machine. Entering raises DeployError if one runs."""
        busy = f"Another command on this machine is at work on {self.name}. Wait until it is done."
        return exclusive(self.directory / "lock", DeployError(busy))

    # --- the staged directory ---

    def _stage(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)  # state and plans hold the values of sensitive variables
        stage(self.configuration, self.directory, leave=NOT_STAGED)
        backend = self.directory / "backend.tf"
        if self.backend_file.exists():
            backend.write_text(BACKEND)
        else:
            backend.unlink(missing_ok=True)

    def _refuse_two_states(self) -> None:
        """Refuse a backend in S3 while a local state exists: Terraform would create all its resources again."""
        state = self.directory / "terraform.tfstate"
        if state.exists() and json.loads(state.read_text() or "{}").get("resources"):
            raise DeployError(
                f"The state of {self.name} is on this machine ({_shown(state, self.root)}), but "
                f"{_shown(self.backend_file, self.root)} says that it is in S3. Move it once, then go on:\n"
                f"  {program_name()} -chdir={_shown(self.directory, self.root)} init -migrate-state "
                f"-backend-config={self.backend_file}\n  rm {_shown(state, self.root)}*"
            )

    def _installation(self) -> str:
        """Return a digest of the inputs of an init: program, configuration, recorded providers, backend, mirror."""
        digest = hashlib.sha256(f"{program_name()} {find_mirror()}".encode())
        providers = [self.configuration / RECORD, self.directory / LOCK]
        for path in [*sorted(self.configuration.rglob("*.tf")), *providers, self.backend_file]:
            digest.update(path.name.encode() + b"\0" + (path.read_bytes() if path.exists() else b""))
        return digest.hexdigest()


def placeholders(text: str) -> dict[int, str]:
    """Return the lines of a file of variables that still need a person's value, by number."""
    lines = enumerate(text.splitlines(), start=1)
    return {number: line for number, line in lines if PLACEHOLDER in line.partition("#")[0]}


def account_of(outputs: Mapping[str, Any]) -> str | None:
    """Return the account of a deployment, by its outputs; None if they do not contain it."""
    for url in (outputs.get("queue_urls") or {}).values():
        return str(url).rstrip("/").split("/")[-2]
    return None


def _shown(path: Path, root: Path) -> str:
    """Return a path relative to the root, as the reader types it."""
    return str(path.relative_to(root))


def _plain(text: str) -> str:
    """Return text without the colours and the frame of Terraform's messages."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    return "\n".join(line.lstrip("╷│╵ ").rstrip() for line in lines if line.strip("╷│╵ "))
