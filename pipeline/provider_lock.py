"""Terraform's providers: the packages that are trusted, by checksum, and mirrors of them on this machine.

`infra/terraform/providers.json` records each provider's version and checksums. A lock file of Terraform also names the
registry, which Terraform and OpenTofu choose differently: the commands write one from the record before each `init`.
"""

import json
import os
import platform
import re
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.errors import CommandError

PROVIDER: Final = "hashicorp/aws"
RECORD: Final = "providers.json"
LOCK: Final = ".terraform.lock.hcl"

# Directories of provider mirrors: Terraform's own by convention, and the usual ones of images and packages.
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

_LOCKED: Final = re.compile(r'provider "(?P<address>[^"]+)" \{\s+version\s+= "(?P<version>[^"]+)"(?P<rest>[^}]*)\}')
_CHECKSUM: Final = re.compile(r'"((?:h1|zh):[^"]+)"')


class ProviderError(CommandError):
    """A provider is not recorded, or a mirror of providers is not safe to use; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A version of a provider and the checksums of its packages: `h1:` of the contents, `zh:` of the archives."""

    version: str
    hashes: tuple[str, ...]


def read(record: Path) -> dict[str, Provider]:
    """Return the recorded providers by source, such as hashicorp/aws; none if there is no record."""
    if not record.exists():
        return {}
    try:
        return {
            source: Provider(str(entry["version"]), tuple(map(str, entry["hashes"])))
            for source, entry in json.loads(record.read_text()).items()
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ProviderError(f"{record} is not a record of providers ({error!r}): make lock-providers") from None


def write(record: Path, providers: Mapping[str, Provider]) -> None:
    """Write the record."""
    content = {
        source: {"version": provider.version, "hashes": sorted(provider.hashes)}
        for source, provider in sorted(providers.items())
    }
    record.write_text(json.dumps(content, indent=2) + "\n")


def lock_file(providers: Mapping[str, Provider]) -> str:
    """Return a lock file. The providers' addresses are whole: with the registry's name."""
    entries = []
    for address, provider in sorted(providers.items()):
        if not any(checksum.startswith("h1:") for checksum in provider.hashes):
            # Terraform accepts any unpacked package where the file has checksums of archives only.
            raise ProviderError(f"{RECORD} has no h1: checksum of {address} {provider.version}: make lock-providers")
        hashes = "".join(f"    {json.dumps(checksum)},\n" for checksum in sorted(provider.hashes))
        version = json.dumps(provider.version)
        entries.append(f"provider {json.dumps(address)} {{\n  version = {version}\n  hashes = [\n{hashes}  ]\n}}\n")
    return "\n".join(entries)


def locked(text: str) -> dict[str, Provider]:
    """Return the providers of a lock file, by whole address."""
    return {
        found["address"]: Provider(found["version"], tuple(_CHECKSUM.findall(found["rest"])))
        for found in _LOCKED.finditer(text)
    }


def find_mirror(roots: Iterable[str] = MIRROR_ROOTS) -> Path | None:
    """Return a directory with the provider unpacked for this machine, as `HOST/hashicorp/aws/VERSION/OS_ARCH`.

    `TF_PLUGIN_MIRROR` in the environment takes precedence. Raises ProviderError if it names no directory, and for a
    mirror that other users of this machine can change.
    """
    if chosen := os.environ.get("TF_PLUGIN_MIRROR"):
        if not Path(chosen).is_dir():
            raise ProviderError(f"TF_PLUGIN_MIRROR is {chosen}, which is not a directory.")
        return _unshared(Path(chosen).resolve())
    for root in roots:
        path = Path(os.path.expandvars(root)).expanduser()
        if not path.is_absolute():
            continue  # a variable that is not set
        candidates = sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
        for candidate in candidates:
            with suppress(PermissionError):
                if any(found.is_dir() for found in candidate.glob(f"*/{PROVIDER}/*/{machine()}")):
                    return _unshared(candidate)
    return None


def machine() -> str:
    """Return this machine's platform as Terraform writes it, such as linux_amd64."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    return f"{platform.system().lower()}_{names.get(platform.machine(), platform.machine())}"


def _unshared(mirror: Path) -> Path:
    """Return the mirror. Raises ProviderError if another user can change a package in it, between check and use."""
    packages = [found for found in mirror.glob(f"*/*/*/*/{machine()}") if found.is_dir()]
    above = {parent for package in packages for parent in package.parents if parent.is_relative_to(mirror)}
    inside = [path for package in packages for path in (package, *package.rglob("*"))]
    for path in filter(Path.exists, [mirror, *sorted(above), *inside]):  # not: links that lead nowhere
        status = path.stat()
        if status.st_uid not in (0, os.geteuid()):
            raise ProviderError(
                f"The provider mirror {mirror} is not used: {path} belongs to user {status.st_uid}, not to you or "
                "root, who could put another program there. Copy the mirror, and set TF_PLUGIN_MIRROR to the copy."
            )
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ProviderError(
                f"The provider mirror {mirror} is not used: other users may write to {path}, and could put another "
                f"program there. Run: chmod -R go-w {mirror}"
            )
    return mirror
