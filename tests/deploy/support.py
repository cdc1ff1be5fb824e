"""Repositories of a test's own: a tiny configuration, or the real one with environments of its own."""

import json
import os
import re
import stat
from pathlib import Path

import pytest

from pipeline import packaging

AWS = 'variable "region" { default = null }\n'
VARIABLES = """\
variable "name" { default = "auth0-sync" }
variable "environment" { type = string }
variable "auth0" {
  type = object({
    source_region            = optional(string)
    log_stream_source_name   = string
    event_stream_source_name = optional(string)
    create_buses             = optional(bool, true)
  })
}
variable "package_dir" { type = string }
variable "lambda" { default = { architecture = "arm64" } }
variable "protect_data" { default = true }
variable "sync" { default = { maximum_concurrency = 5 } }
variable "refresh" { default = null }
variable "backfill" { default = null }
"""


def tiny(root: Path, *, environment: str = "prod", variables: str = 'environment = "prod"\n') -> Path:
    """A repository whose configuration has the variables, and needs no provider."""
    terraform = root / "infra" / "terraform"
    (terraform / "environments").mkdir(parents=True)
    (terraform / "modules" / "auth0-sync").mkdir(parents=True)
    (terraform / "tests").mkdir()
    (terraform / "aws.tf").write_text(AWS)
    (terraform / "modules" / "auth0-sync" / "variables.tf").write_text(VARIABLES)
    (terraform / "environments" / f"{environment}.tfvars").write_text(variables)
    (terraform / "environments" / "production.tfvars").touch()
    return root


def real(root: Path, *, environment: str, variables: str) -> Path:
    """A repository with the real configuration and one environment."""
    terraform = root / "infra" / "terraform"
    (terraform / "environments").mkdir(parents=True)
    for path in (packaging.ROOT / "infra" / "terraform").iterdir():
        if path.name != "environments" and not path.name.startswith("."):
            (terraform / path.name).symlink_to(path)
    (terraform / "environments" / f"{environment}.tfvars").write_text(variables)
    return root


NAMES_PROVIDERS = """\
case "$2" in providers) [ "$3" = lock ] || {
  sed -n 's|.*source = "\\(.*\\)".*|provider[registry.example.org/\\1]|p' "${1#-chdir=}/main.tf"; exit
};; esac"""
"""The part of a fake Terraform that names the registry of a provider, as `terraform providers` does."""


class FakeTerraform:
    """A `terraform` on PATH that notes its arguments and environment, and does what `script` says."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, script: str = "") -> None:
        directory.mkdir()
        self._directory = directory
        self.script(script)
        monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
        monkeypatch.delenv("TF_PLUGIN_MIRROR", raising=False)
        monkeypatch.delenv("TERRAFORM", raising=False)

    def script(self, script: str) -> None:
        program = self._directory / "terraform"
        d = self._directory
        program.write_text(f'#!/bin/sh\n{NAMES_PROVIDERS}\necho "$@" >> "{d}/calls"\nenv > "{d}/env"\n{script}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def rename(self, name: str) -> None:
        """Be a program of another name."""
        (self._directory / "terraform").rename(self._directory / name)

    @property
    def calls(self) -> list[str]:
        """The arguments of each call, without those that name the directory."""
        calls = self._directory / "calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        return [" ".join(word for word in line.split() if not word.startswith("-chdir=")) for line in lines]

    @property
    def environment(self) -> dict[str, str]:
        lines = (self._directory / "env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)


def says(*messages: object) -> str:
    """A script that prints messages as Terraform's JSON output does."""
    return "\n".join(f"cat <<'END'\n{json.dumps(message)}\nEND" for message in messages)


def stored(*addresses: str, **outputs: object) -> str:
    """A script that prints a state with these resources and outputs."""
    resources = []
    for address in addresses:
        *module, kind, name = re.split(r"\.(?![^\[]*\])", address)
        name, _, key = name.partition("[")
        instance = {"attributes": {"function_name": name, "uuid": name}}
        instance |= {"index_key": json.loads(key[:-1])} if key else {}
        mode = "data" if module and module[-1] == "data" else "managed"
        path = ".".join(module[:-1] if mode == "data" else module)
        resources.append({"module": path, "mode": mode, "type": kind, "name": name, "instances": [instance]})
    values = {name: {"value": value} for name, value in outputs.items()}
    return says({"version": 4, "outputs": values, "resources": resources})


def planned(action: str, address: str, reason: str = "") -> dict[str, object]:
    """The message of a planned change."""
    kind = address.split(".")[-2]
    change = {"action": action, "resource": {"addr": address, "resource_type": kind}}
    return {"type": "planned_change", "change": change | ({"reason": reason} if reason else {})}


def hook(kind: str, action: str, address: str) -> dict[str, object]:
    """The message of an operation that starts, goes on or is complete."""
    return {"type": f"apply_{kind}", "hook": {"action": action, "resource": {"addr": address}}}


def failed(summary: str, detail: str = "", address: str = "") -> dict[str, object]:
    """The message of an error."""
    return {
        "type": "diagnostic",
        "diagnostic": {"severity": "error", "summary": summary, "detail": detail, "address": address},
    }
