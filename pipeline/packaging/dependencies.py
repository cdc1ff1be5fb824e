"""The dependencies of a package: install them by pip for the target, drop unused parts, cache the result."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from pipeline.locks import exclusive
from pipeline.packaging import binaries
from pipeline.packaging.functions import FUNCTIONS, Function
from pipeline.packaging.target import LAMBDA_PYTHON, ROOT, PackagingError, Target
from pipeline.packaging.zips import add, sha256

CACHE: Final = ROOT / "build" / "cache" / "dependencies"
BUILT: Final = ROOT / ".local" / "layers"
"""The layers that this clone built, by SHA-256, and that of their wheels. CI may share the cache between jobs."""

DROPPED: Final = (
    # Not needed at run time, or different at every installation.
    "bin/*",
    "*/__pycache__/*",
    "*.pyc",
    "*.pyi",
    "*.pxd",
    "*.pyx",
    "*/py.typed",
    "*/tests/*",
    "*/testing/*",
    "boto3/examples/*",
    "*/examples-1.json",
    "*.dist-info/RECORD",
    "*.dist-info/INSTALLER",
    "*.dist-info/REQUESTED",
    "*.dist-info/direct_url.json",
    # Parts that no function uses.
    "alembic/templates/*",  # templates of `alembic init`
    "dateutil/zoneinfo/*.tar.gz",  # for systems without time zones
    "sqlalchemy/dialects/m[sy]*sql/*",
    "sqlalchemy/dialects/oracle/*",
    "sqlalchemy/orm/*",
)
# The data that botocore needs for calls; descriptions of some 400 services are most of its size.
SERVICE_DATA: Final = ("botocore/data/", "boto3/data/")
AUTHORITIES: Final = "botocore/cacert.pem"


def layer(function: str, spec: Function, target: Target) -> Path:
    """Return a zip of the function's dependencies, from the cache if this clone built it. Raises PackagingError.

    pip compares the hashes of what it installs, but nothing in a layer shows what it was made of.
    """
    cached = _cached(function, spec, target)
    pins = hashlib.sha256(_pins(spec)).hexdigest()[:16]
    # Builds at the same time would each run pip for the same pins.
    with exclusive(CACHE / f".{pins}-{target.label}.lock"):
        if not _built_here(cached):
            _make(function, spec, target)
    return cached


def _cached(function: str, spec: Function, target: Target) -> Path:
    return CACHE / f"{function}-{target.label}-{identity(_requirements(spec), spec, target)}.zip"


def _requirements(spec: Function) -> Path:
    return ROOT / "requirements" / spec.requirements


def _pins(spec: Function) -> bytes:
    """Return the pins of a function without comments."""
    lines = _read(_requirements(spec)).splitlines()
    return b"\n".join(line for line in lines if not line.lstrip().startswith(b"#"))


def _built_here(cached: Path) -> bool:
    """Return whether this clone built the layer. Raises PackagingError if it built another one of that name."""
    record = _record(cached)
    if not cached.exists() or not record.exists():
        return False
    if json.loads(record.read_text())["sha256"] == sha256(cached):
        return True
    raise PackagingError(
        f"{cached} has changed since it was built here, and would go into the functions. If nobody of yours changed "
        f"it, find out who did. Delete it, and it is built again: rm {cached}"
    )


def _record(cached: Path) -> Path:
    return BUILT / f"{cached.stem}.json"


def wheels(layer: Path) -> dict[str, str]:
    """Return the SHA-256 of each wheel that a layer was installed from, by the name of its project."""
    return {str(name): str(digest) for name, digest in json.loads(_record(layer).read_text())["wheels"].items()}


def _make(function: str, spec: Function, target: Target) -> None:
    """Install the function's pins once, and make its layer and those of the functions that have the same pins."""
    pins = _pins(spec)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".installing-") as scratch:
        tree = Path(scratch) / "tree"
        installed = _install(function, _requirements(spec), tree, target)
        names = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file())
        _pack(function, spec, target, tree, names, installed)
        for other, its in FUNCTIONS.items():
            if other != function and _requirements(its).exists() and _pins(its) == pins:
                there = _cached(other, its, target)
                if not (there.exists() and _record(there).exists()):
                    _pack(other, its, target, tree, names, installed)


def _pack(
    function: str, spec: Function, target: Target, tree: Path, names: Sequence[str], wheels: dict[str, str]
) -> None:
    """Write the layer of a function, and its record; delete its older ones."""
    cached = _cached(function, spec, target)
    kept = [name for name in names if _kept(name, spec)]
    if target.platform == "lambda" and (faults := binaries.faults(tree, kept, target.architecture)):
        raise PackagingError(
            f"{function} would not run on Lambda ({target.architecture}) "
            f"with requirements/{spec.requirements}:\n" + "\n".join(faults)
        )
    unfinished = tree.with_name("layer.zip")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as made:
        for name in kept:
            add(made, name, tree / name)
    for old in CACHE.glob(f"{function}-{target.label}-*.zip"):
        _record(old).unlink(missing_ok=True)
        old.unlink(missing_ok=True)
    BUILT.mkdir(parents=True, exist_ok=True)
    _record(cached).write_text(json.dumps({"sha256": sha256(unfinished), "wheels": wheels}))
    unfinished.replace(cached)


def identity(requirements: Path, spec: Function, target: Target) -> str:
    """Return a digest of all that determines a dependency layer: pins, services, target, and the rules here."""
    rules = [Path(file).read_bytes() for file in (__file__, binaries.__file__)]
    inputs = (_read(requirements), *rules, repr(spec.services).encode(), target.identity.encode())
    return hashlib.sha256(b"|".join(inputs)).hexdigest()[:16]


def _read(requirements: Path) -> bytes:
    try:
        return requirements.read_bytes()
    except FileNotFoundError:
        raise PackagingError(
            f"There is no requirements/{requirements.name}, which a package needs; packages are built in a clone"
        ) from None


def _kept(name: str, spec: Function) -> bool:
    if any(fnmatch(name, pattern) for pattern in DROPPED):
        return False
    if name == AUTHORITIES:
        return bool(spec.services)
    for prefix in SERVICE_DATA:
        if name.startswith(prefix):
            service, _, below = name.removeprefix(prefix).partition("/")
            # Files beside the services (endpoints, partitions, retries) serve clients of any of them.
            return service in spec.services if below else bool(spec.services)
    return True


def _install(function: str, requirements: Path, directory: Path, target: Target) -> dict[str, str]:
    """Install the requirements, and return the SHA-256 of each wheel by the name of its project."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--require-hashes", "--no-deps", "--no-compile", "--only-binary=:all:", f"--target={directory}"]
    if target.platform == "lambda":
        command += [f"--python-version={LAMBDA_PYTHON}", "--implementation=cp"]
        command += [f"--platform={tag}" for tag in target.tags]
    # Keep the user's index settings, but not pip's install location.
    environment = {
        k: v for k, v in os.environ.items() if k not in ("PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PYTHONPATH")
    }
    report = directory.with_name("report.json")
    done = subprocess.run(  # noqa: S603 - our own interpreter and fixed words
        [*command, f"--report={report}", f"--requirement={requirements}"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = "\n".join(done.stderr.strip().splitlines()[-10:])
        raise PackagingError(f"pip could not install requirements/{requirements.name} for {function}:\n{said}")
    return {
        canonicalize_name(item["metadata"]["name"]): digest
        for item in json.loads(report.read_bytes())["install"]
        if (digest := item["download_info"]["archive_info"]["hashes"].get("sha256"))
    }
