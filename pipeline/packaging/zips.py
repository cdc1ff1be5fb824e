"""Zips with nothing in them of the machine that made them."""

import hashlib
import zipfile
from pathlib import Path
from typing import Final

# The zip format's first day: time is left out of packages.
EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def add(package: zipfile.ZipFile, name: str, source: Path) -> None:
    """Add a file: no time, no owner, no umask."""
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.create_system = 3  # Unix, so that the mode below counts
    entry.external_attr = 0o100644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    package.writestr(entry, source.read_bytes())


def sizes(package: Path) -> tuple[int, int]:
    """Return the bytes of a package as it is uploaded, and unpacked."""
    with zipfile.ZipFile(package) as content:
        return package.stat().st_size, sum(entry.file_size for entry in content.infolist())


def digest(package: Path) -> str:
    """Return the SHA-256, in hex, of what a package holds: names and contents, however they are compressed."""
    total = hashlib.sha256()
    with zipfile.ZipFile(package) as content:
        for name in sorted(content.namelist()):
            total.update(f"{hashlib.sha256(content.read(name)).hexdigest()}  {name}\n".encode())
    return total.hexdigest()
