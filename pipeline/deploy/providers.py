"""The record of Terraform's providers, for every platform on which Terraform runs.

`make lock-providers` writes `providers.json` beside the configuration, where deployments and the local stack read it.
`make check` compares it with the registry of the providers if that answers; Terraform knows the registry's address.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pipeline.deploy.deployment import NOT_STAGED
from pipeline.errors import CommandError
from pipeline.packaging import ROOT
from pipeline.provider_lock import LOCK, RECORD, Provider, find_mirror, locked, read, write
from pipeline.terraform import (
    CONFIGURATION,
    Program,
    TerraformError,
    inherited_environment,
    program_name,
    provider_address,
    stage,
)

PLATFORMS: Final = ("linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64")
NO_PLATFORM: Final = "none_none"
"""A platform that no provider has: a request for it needs the registry's answer, and downloads nothing."""

CHECKED: Final = ROOT / ".local" / "providers-checked"
ANSWER_SECONDS: Final = 15
DOWNLOAD_SECONDS: Final = 900

_UNREACHABLE: Final = re.compile(r"could not connect to|could not query provider registry")


class Unreachable(Exception):
    """The registry of the providers does not answer; the message holds Terraform's reason."""


def fetch(
    configuration: Path = CONFIGURATION,
    platforms: Sequence[str] = PLATFORMS,
    mirror: Path | None = None,
    seconds: float = DOWNLOAD_SECONDS,
) -> dict[str, Provider]:
    """Return the providers by source, with the checksums of each platform's packages from the registry or a mirror.

    Terraform verifies the registry's signatures. Raises Unreachable, and TerraformError for Terraform's other errors.
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
        return _by_source(locked((directory / LOCK).read_text()))


def _by_source(providers: Mapping[str, Provider]) -> dict[str, Provider]:
    """Leave out the name of the program's own registry: it adds that name itself."""
    found = {}
    for address, provider in providers.items():
        short = address.partition("/")[2]
        own = provider_address(short, inherited_environment())
        found[short if own == address else address] = provider
    return found


def merged(recorded: Mapping[str, Provider], found: Mapping[str, Provider]) -> dict[str, Provider]:
    """Return the found providers; those of the recorded version keep the recorded checksums, too.

    Terraform and OpenTofu have packages of their own, and one record serves both.
    """
    return {
        source: Provider(provider.version, tuple({*provider.hashes, *old.hashes}))
        if (old := recorded.get(source)) and old.version == provider.version
        else provider
        for source, provider in found.items()
    }


def require_registry(configuration: Path = CONFIGURATION, seconds: float = ANSWER_SECONDS) -> None:
    """Raise Unreachable unless the registry answers. Raises TerraformError when it lacks the version."""
    try:
        fetch(configuration, [NO_PLATFORM], seconds=seconds)
    except TerraformError as error:
        if "is not available for" not in str(error):
            raise


def check(configuration: Path = CONFIGURATION, checked: Path = CHECKED) -> str:
    """Return the result as text: the registry's checksums are in the record, or the registry does not answer.

    The packages have hundreds of megabytes, so it checks each version and record once. Raises TerraformError if the
    registry lacks a platform, or the record a checksum.
    """
    record = configuration / RECORD
    recorded = read(record)
    versions = [path.read_text() for path in sorted(configuration.rglob("versions.tf"))]
    digest = hashlib.sha256("\0".join([*versions, repr(recorded), program_name()]).encode()).hexdigest()
    if checked.exists() and checked.read_text() == digest:
        return "Providers: compared with their registry before, on every platform."
    try:
        require_registry(configuration)
        _say(f"Providers: downloading a package for each of {', '.join(PLATFORMS)} (once) ...")
        found = fetch(configuration)
    except Unreachable as error:
        return f"Providers: SKIPPED, their registry cannot be reached from here: {error}"
    for source, provider in found.items():
        known = recorded.get(source)
        if known is None or known.version != provider.version or not {*provider.hashes} <= {*known.hashes}:
            raise TerraformError(
                f"infra/terraform/{RECORD} lacks checksums of {source} {provider.version}: make lock-providers"
            )
    checked.parent.mkdir(parents=True, exist_ok=True)
    checked.write_text(digest)
    return f"Providers: the registry has the recorded checksums, for {', '.join(PLATFORMS)}."


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the record, or with --check only compare it."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.deploy.providers", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; skip where the registry does not answer")
    try:
        if parser.parse_args(arguments).check:
            _say(check())
            return
        found = fetch(mirror=find_mirror() if os.environ.get("TF_PLUGIN_MIRROR") else None)
    except (CommandError, Unreachable) as error:
        sys.exit(f"{program_name()} providers lock: {error}")
    record = CONFIGURATION / RECORD
    write(record, merged(read(record), found))
    _say(f"Written: infra/terraform/{RECORD}, for {', '.join(PLATFORMS)}. Commit it.")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
