"""The lock file of Terraform's providers, for every platform on which Terraform runs.

`make lock-providers` writes it beside the configuration, where deployments and the local stack read it. `make check`
tests that if the registry of the providers answers; Terraform finds this out, as it knows the registry's address.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipeline.deploy.deployment import NOT_STAGED
from pipeline.packaging import ROOT
from pipeline.terraform import CONFIGURATION, LOCK, Program, TerraformError, inherited_environment, program_name, stage

PLATFORMS: Final = ("linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64")
NO_PLATFORM: Final = "none_none"
"""A platform that no provider has: a request for it needs the registry's answer, and downloads nothing."""

CHECKED: Final = ROOT / ".local" / "providers-checked"
ANSWER_SECONDS: Final = 15
DOWNLOAD_SECONDS: Final = 900

_CHECKSUM: Final = re.compile(r'"((?:h1|zh):[^"]+)"')
_UNREACHABLE: Final = re.compile(r"could not connect to|could not query provider registry")


class Unreachable(Exception):
    """The registry of the providers does not answer; the message holds Terraform's reason."""


def lock(
    configuration: Path = CONFIGURATION,
    platforms: Sequence[str] = PLATFORMS,
    mirror: str | None = None,
    seconds: float = DOWNLOAD_SECONDS,
) -> str:
    """Return a lock file with the checksums of each platform's packages, from the registry or a mirror's directory.

    It ignores the existing lock file: Terraform would add to it, and refuse another version.
    Raises Unreachable, and TerraformError for Terraform's other errors.
    """
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        stage(configuration, directory, leave=NOT_STAGED)
        terraform = Program(directory, inherited_environment())
        terraform.run("get")
        options = [f"-platform={platform}" for platform in platforms] + ([f"-fs-mirror={mirror}"] if mirror else [])
        try:
            done = terraform.run("providers", "lock", "-no-color", *options, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Unreachable(f"no answer in {seconds:g} seconds") from None
        if done.returncode != 0:
            said = " ".join(done.stderr.split()).rpartition("could not be installed: - ")[2]
            raise Unreachable(said) if _UNREACHABLE.search(said) else TerraformError(said)
        return (directory / LOCK).read_text()


def require_registry(configuration: Path = CONFIGURATION, seconds: float = ANSWER_SECONDS) -> None:
    """Raise Unreachable unless the registry answers. Raises TerraformError when it lacks the version."""
    try:
        lock(configuration, [NO_PLATFORM], seconds=seconds)
    except TerraformError as error:
        if "is not available for" not in str(error):
            raise


def check(configuration: Path = CONFIGURATION, checked: Path = CHECKED) -> str:
    """Return the result as text: all platforms can be locked, or the registry does not answer.

    The packages have hundreds of megabytes, so it checks each version and lock file once. Raises TerraformError if a
    platform cannot be locked, or the existing lock file lacks a checksum.
    """
    there = configuration / LOCK
    kept = there.read_text() if there.exists() else ""
    versions = [path.read_text() for path in sorted(configuration.rglob("versions.tf"))]
    digest = hashlib.sha256("\0".join([*versions, kept]).encode()).hexdigest()
    if checked.exists() and checked.read_text() == digest:
        return "Providers: checked before for this version, on every platform."
    try:
        require_registry(configuration)
        _say(f"Providers: downloading a package for each of {', '.join(PLATFORMS)} (once) ...")
        made = lock(configuration)
    except Unreachable as error:
        return f"Providers: SKIPPED, their registry cannot be reached from here: {error}"
    if kept and not set(_CHECKSUM.findall(made)) <= set(_CHECKSUM.findall(kept)):
        raise TerraformError(f"infra/terraform/{LOCK} lacks checksums: make lock-providers makes it anew.")
    checked.parent.mkdir(parents=True, exist_ok=True)
    checked.write_text(digest)
    return f"Providers: {', '.join(PLATFORMS)} can be locked."


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the lock file, or with --check only test it."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.deploy.providers", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; skip where the registry does not answer")
    try:
        if parser.parse_args(arguments).check:
            _say(check())
            return
        made = lock(mirror=os.environ.get("TF_PLUGIN_MIRROR"))
    except (TerraformError, Unreachable) as error:
        sys.exit(f"{program_name()} providers lock: {error}")
    (CONFIGURATION / LOCK).write_text(made)
    _say(f"Written: infra/terraform/{LOCK}, for {', '.join(PLATFORMS)}. Commit it.")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
