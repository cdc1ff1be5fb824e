"""Reproducible zips, without traces of the machine that made them."""

import hashlib
import zipfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

# the first day of the zip format: packages hold no times
EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def add(package: zipfile.ZipFile, name: str, source: Path) -> None:
    """Add a file without its time, owner and umask."""
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.create_system = 3  # Unix, so that the mode below counts
    entry.external_attr = 0o100644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    package.writestr(entry, source.read_bytes())


def sha256(file: Path) -> str:
    """Return the SHA-256, in hex, of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def sizes(package: Path) -> tuple[int, int]:
    """Return the bytes of a package as it is uploaded, and unpacked."""
    with zipfile.ZipFile(package) as content:
        return package.stat().st_size, sum(entry.file_size for entry in content.infolist())


def digest(package: Path) -> str:
    """Return the SHA-256, in hex, of a package's names and contents, independent of their compression."""
    now = package.stat()
    return _digest(package, now.st_ino, now.st_mtime_ns, now.st_size)


@cache
def _digest(package: Path, *_version: int) -> str:
    """Decompress a file once for its bill of materials, its own digest, and the one of all packages."""
    total = hashlib.sha256()
    with zipfile.ZipFile(package) as content:
        for name in sorted(content.namelist()):
            total.update(f"{hashlib.sha256(content.read(name)).hexdigest()}  {name}\n".encode())
    return total.hexdigest()


def combined(packages: Iterable[Path]) -> str:
    """Return one SHA-256, in hex, of the names and digests of several packages."""
    lines = "".join(sorted(f"{digest(package)}  {package.name}\n" for package in packages))
    return hashlib.sha256(lines.encode()).hexdigest()
