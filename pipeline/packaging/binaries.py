"""Find binaries that Lambda could not load: for another processor, Python, C library or system."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

from pipeline.packaging.target import LAMBDA_GLIBC, LAMBDA_PYTHON, MACHINES, Architecture

_ELF: Final = b"\x7fELF"
# Mach-O in both byte orders and widths, and for several processors in one file.
_MACOS: Final = tuple(bytes.fromhex(magic) for magic in ("feedface", "feedfacf", "cefaedfe", "cffaedfe", "cafebabe"))
_WINDOWS: Final = (".pyd", ".dll", ".exe")

# The name of an extension module names its Python: `x.cpython-313-aarch64-linux-gnu.so`, `x.abi3.so`.
_EXTENSION: Final = re.compile(r"\.(cpython-[^.]+|pypy[^.]+|graalpy[^.]+)\.so$")
_GLIBC: Final = re.compile(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?")

# The libraries that Amazon Linux 2023 has for Python: glibc's and zlib.
_SYSTEM: Final = re.compile(r"(ld-linux-\w+(-\w+)?|lib(c|m|dl|rt|pthread|util|resolv|z))\.so\.\d")


def faults(tree: Path, names: Iterable[str], architecture: Architecture) -> list[str]:
    """Return the faults of the binaries among the files of a package, one line each."""
    names = list(names)
    packaged = {name.rpartition("/")[2] for name in names}
    return [f"{name}: {fault}" for name in names for fault in _of_file(tree / name, architecture, packaged)]


def _of_file(path: Path, architecture: Architecture, packaged: set[str]) -> Iterator[str]:
    with path.open("rb") as file:
        magic = file.read(4)
        if magic in _MACOS or path.suffix == ".dylib":
            yield "is a library for macOS"
        elif path.suffix in _WINDOWS:
            yield "is a program or library for Windows"
        elif magic == _ELF:
            yield from _of_name(path.name, architecture)
            try:
                yield from _of_elf(file, architecture, packaged)
            except (ELFError, ValueError, OSError) as error:  # OSError: an offset before the start of the file
                yield f"is damaged ({error})"
        elif re.search(r"\.so(\.|$)", path.name):
            yield "is named as a library, but is none"


def _of_name(name: str, architecture: Architecture) -> Iterator[str]:
    """Yield a fault if Python would not load an extension module of that name."""
    tag = _EXTENSION.search(name)
    wanted = f"cpython-{LAMBDA_PYTHON.replace('.', '')}-{MACHINES[architecture]}-linux-gnu"
    if tag is not None and tag[1] != wanted:
        yield f"is for {tag[1]}, not {wanted}"


def _of_elf(file: BinaryIO, architecture: Architecture, packaged: set[str]) -> Iterator[str]:
    elf = ELFFile(file)
    wanted = f"EM_{MACHINES[architecture].upper()}"
    if elf["e_machine"] != wanted:
        yield f"is for {elf['e_machine']}, not {wanted} ({architecture})"
        return
    sections = list(elf.iter_sections())
    dynamic = [section for section in sections if isinstance(section, DynamicSection)]
    if not dynamic:
        yield "does not say which libraries it needs (no dynamic section), so it cannot be checked"
    tags: Iterator[Any] = (tag for section in dynamic for tag in section.iter_tags("DT_NEEDED"))
    for library in (str(tag.needed) for tag in tags):
        if library not in packaged and not _SYSTEM.fullmatch(library):
            yield f"needs {library}, which neither the package nor Amazon Linux 2023 has"
    needs = [section for section in sections if isinstance(section, GNUVerNeedSection)]
    versions = {version.name for section in needs for _, them in section.iter_versions() for version in them}
    for version in sorted(versions):
        if version.startswith("GLIBC_") and not _on_lambda(version):
            yield f"needs {version}; Amazon Linux 2023 has GLIBC_{LAMBDA_GLIBC[0]}.{LAMBDA_GLIBC[1]}"


def _on_lambda(version: str) -> bool:
    """Return whether Lambda's glibc has a symbol version. Names without a number are later or private interfaces."""
    number = _GLIBC.fullmatch(version)
    return number is not None and (int(number[1]), int(number[2])) <= LAMBDA_GLIBC
