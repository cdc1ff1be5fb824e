"""Packages of the Lambda functions: one zip each, of pinned and hashed dependencies and the modules that it runs.

A package has two layers. Its dependencies are installed by pip once and kept, already compressed, under
`build/cache/`; the project's own files are appended to a copy of that, so a changed module costs no installation.
The same inputs give the same bytes, so that a deployment only replaces functions that changed.

    python -m pipeline.packaging lambda
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, Literal

ROOT: Final = Path(__file__).resolve().parent.parent
CACHE: Final = ROOT / "build" / "cache" / "dependencies"

Platform = Literal["host", "lambda"]
"""`host`: this interpreter, for the emulator's workers. `lambda`: python3.13 on arm64, as AWS runs it."""


class PackagingError(Exception):
    """A package could not be built; the message says which one and what the installer said."""


@dataclass(frozen=True, slots=True)
class Function:
    """What goes into a function's package.

    `requirements` is a file of requirements/. `omit` are patterns of files in pipeline/ that it does not run. `extra`
    are files and directories of the repository besides pipeline/. `services` are the AWS APIs that it calls, each of
    which is a description that botocore reads from a file.
    """

    requirements: str
    omit: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


# What runs on an engineer's machine, never in a function.
NOT_IN_FUNCTIONS: Final = ("cli/*", "local/*", "archive/*", "traffic/*", "packaging.py")
ONLY_MIGRATIONS: Final = ("schema.py", "functions/migrate.py")
ONLY_REFRESH: Final = ("auth0/*", "functions/refresh.py")
ONLY_SYNC: Final = ("sinks/*", "functions/sync.py")

FUNCTIONS: Final = {
    "sync-postgres": Function("postgres.txt", omit=(*ONLY_MIGRATIONS, *ONLY_REFRESH, "sinks/dynamodb.py")),
    "sync-dynamodb": Function(
        "dynamodb.txt",
        omit=(*ONLY_MIGRATIONS, *ONLY_REFRESH, "sinks/postgres.py", "sinks/*.sql", "sinks/iam.py"),
        services=("dynamodb",),
    ),
    "refresh": Function("refresh.txt", omit=(*ONLY_MIGRATIONS, *ONLY_SYNC), services=("secretsmanager", "sqs")),
    "migrate": Function("migrate.txt", omit=ONLY_REFRESH, extra=("migrations", "pyproject.toml")),
}

LAMBDA_PYTHON: Final = "3.13"
# Amazon Linux 2023 has glibc 2.34. The older tag is named as well, since pip does not take it from the newer one.
LAMBDA_TAGS: Final = ("manylinux_2_28_aarch64", "manylinux2014_aarch64")

# Never needed at run time, or different at every installation.
DROPPED: Final = (
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
    "*.dist-info/RECORD",
    "*.dist-info/INSTALLER",
    "*.dist-info/REQUESTED",
    "*.dist-info/direct_url.json",
    "*/examples-1.json",
)
# The descriptions of some 400 services are most of botocore.
SERVICE_DATA: Final = ("botocore/data/", "boto3/data/")

# The zip format's first day: time is left out of packages.
EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def build(function: str, platform: Platform, out_dir: Path) -> Path:
    """Build the package of a function and return `<out_dir>/<function>.zip`. Raises PackagingError."""
    spec = FUNCTIONS[function]
    dependencies = _dependencies(function, spec, platform)
    out_dir.mkdir(parents=True, exist_ok=True)
    target = out_dir / f"{function}.zip"
    with tempfile.NamedTemporaryFile(dir=out_dir, prefix=f".{function}-", delete=False) as unfinished:
        path = Path(unfinished.name)
        try:
            with dependencies.open("rb") as layer:
                shutil.copyfileobj(layer, unfinished)
            with zipfile.ZipFile(unfinished, "a", zipfile.ZIP_DEFLATED) as package:
                for name, source in _sources(spec):
                    _add(package, name, source)
            unfinished.close()
            path.chmod(0o644)
            path.replace(target)
        finally:
            path.unlink(missing_ok=True)
    return target


def sizes(package: Path) -> tuple[int, int]:
    """Return the bytes of a package as it is uploaded, and unpacked (Lambda allows 250 MB)."""
    with zipfile.ZipFile(package) as content:
        return package.stat().st_size, sum(entry.file_size for entry in content.infolist())


# --- the project's own files --------------------------------------------------------------------------------------


def _sources(spec: Function) -> Iterator[tuple[str, Path]]:
    """Yield each of the project's files that the function needs, by its name in the package, in order."""
    omit = (*NOT_IN_FUNCTIONS, *spec.omit)
    for path in _files([ROOT / "pipeline"]):
        if not any(fnmatch(path.relative_to(ROOT / "pipeline").as_posix(), pattern) for pattern in omit):
            yield path.relative_to(ROOT).as_posix(), path
    for path in _files(ROOT / extra for extra in spec.extra):
        yield path.relative_to(ROOT).as_posix(), path


def _files(roots: Iterable[Path]) -> list[Path]:
    found = [path for root in roots for path in (root.rglob("*") if root.is_dir() else [root])]
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


# --- dependencies -------------------------------------------------------------------------------------------------


def _dependencies(function: str, spec: Function, platform: Platform) -> Path:
    """Return a zip of the function's dependencies, from the cache when it was made before."""
    requirements = ROOT / "requirements" / spec.requirements
    cached = CACHE / f"{function}-{_digest(requirements, spec, platform)}.zip"
    if cached.exists():
        return cached
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent, prefix=".installing-") as scratch:
        tree = Path(scratch) / "tree"
        _install(function, requirements, tree, platform)
        unfinished = Path(scratch) / "layer.zip"
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as layer:
            for path in sorted(tree.rglob("*"), key=lambda path: path.relative_to(tree).as_posix()):
                name = path.relative_to(tree).as_posix()
                if path.is_file() and _kept(name, spec):
                    _add(layer, name, path)
        for old in cached.parent.glob(f"{function}-*.zip"):
            if old.name.startswith(f"{function}-{platform}-"):
                old.unlink(missing_ok=True)
        unfinished.replace(cached)
    return cached


def _digest(requirements: Path, spec: Function, platform: Platform) -> str:
    """Return the name of a dependency layer: everything that decides what is in it, this file's rules included."""
    interpreter = f"{sys.implementation.cache_tag} {sysconfig.get_platform()}"
    target = interpreter if platform == "host" else f"{LAMBDA_PYTHON} {LAMBDA_TAGS}"
    inputs = (requirements.read_bytes(), Path(__file__).read_bytes(), repr(spec.services).encode(), target.encode())
    return f"{platform}-{hashlib.sha256(b'|'.join(inputs)).hexdigest()[:16]}"


def _kept(name: str, spec: Function) -> bool:
    if any(fnmatch(name, pattern) for pattern in DROPPED):
        return False
    for prefix in SERVICE_DATA:
        if name.startswith(prefix):
            service, _, below = name.removeprefix(prefix).partition("/")
            # Files beside the services (endpoints, partitions, retries) serve clients of any of them.
            return service in spec.services if below else bool(spec.services)
    return True


def _install(function: str, requirements: Path, target: Path, platform: Platform) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--require-hashes", "--no-deps", "--no-compile", "--only-binary=:all:", f"--target={target}"]
    if platform == "lambda":
        command += [f"--python-version={LAMBDA_PYTHON}", "--implementation=cp"]
        command += [f"--platform={tag}" for tag in LAMBDA_TAGS]
    # Where to get packages from is the environment's business; where to put them is ours.
    environment = {
        k: v for k, v in os.environ.items() if k not in ("PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PYTHONPATH")
    }
    done = subprocess.run(  # noqa: S603 - our own interpreter and fixed words
        [*command, f"--requirement={requirements}"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = "\n".join(done.stderr.strip().splitlines()[-10:])
        raise PackagingError(f"pip could not install requirements/{requirements.name} for {function}:\n{said}")


def _add(package: zipfile.ZipFile, name: str, source: Path) -> None:
    """Add a file to a zip with nothing of this machine in it: no time, no owner, no umask."""
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.create_system = 3  # Unix, so that the mode below counts
    entry.external_attr = 0o100644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    package.writestr(entry, source.read_bytes())


def main(arguments: list[str] | None = None) -> None:
    """Build every package and print the sizes."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.packaging", description="Build the functions' packages.")
    parser.add_argument("platform", choices=["host", "lambda"], help="host: this machine; lambda: AWS, arm64")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: build/packages/PLATFORM")
    chosen = parser.parse_args(arguments)
    for function in FUNCTIONS:
        path = build(function, chosen.platform, chosen.out or ROOT / "build" / "packages" / chosen.platform)
        packed, unpacked = sizes(path)
        sys.stdout.write(f"{path.name:<20} {packed / 1e6:6.1f} MB, unpacked {unpacked / 1e6:6.1f} MB\n")


if __name__ == "__main__":
    try:
        main()
    except PackagingError as error:
        sys.exit(str(error))
