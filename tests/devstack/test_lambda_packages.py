"""The packages for Lambda: small enough, and with no binary that Lambda could not load."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from pipeline import packaging
from pipeline.packaging import binaries, dependencies

EXTENSION = "msgspec/_core.cpython-313-aarch64-linux-gnu.so"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("packages")
    return {function: packaging.build(function, "lambda", out) for function in packaging.FUNCTIONS}


@pytest.fixture(scope="module")
def extension(packages: dict[str, Path]) -> bytes:
    with zipfile.ZipFile(packages["sync-dynamodb"]) as content:
        return content.read(EXTENSION)


@pytest.fixture
def faults(tmp_path: Path) -> Callable[..., list[str]]:
    """Return the faults of a package that has only this file."""

    def of(name: str, content: bytes, architecture: packaging.Architecture = "arm64") -> list[str]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return binaries.faults(tmp_path, [name], architecture)

    return of


@pytest.mark.parametrize("function", packaging.FUNCTIONS)
def test_keeps_its_budget(function: str, packages: dict[str, Path]) -> None:
    zipped, unzipped = packaging.sizes(packages[function])
    budget = packaging.FUNCTIONS[function].budget
    assert zipped <= budget.zipped * 1e6
    assert unzipped <= budget.unzipped * 1e6
    # A budget far above what there is would hold nothing.
    assert zipped > 0.7 * budget.zipped * 1e6
    assert unzipped > 0.7 * budget.unzipped * 1e6


def test_the_binaries_are_of_the_architecture_that_is_asked_for(packages: dict[str, Path], tmp_path: Path) -> None:
    other = packaging.build("sync-dynamodb", "lambda", tmp_path, "x86_64")
    for package, machine in ((packages["sync-dynamodb"], "EM_AARCH64"), (other, "EM_X86_64")):
        with zipfile.ZipFile(package) as content:
            libraries = [name for name in content.namelist() if name.endswith(".so")]
            assert libraries
            for name in libraries:
                with content.open(name) as file:
                    assert ELFFile(file)["e_machine"] == machine


def test_a_good_library_has_no_fault(faults: Callable[..., list[str]], extension: bytes) -> None:
    assert faults(EXTENSION, extension) == []
    assert faults("x/y.abi3.so", extension) == []
    assert faults("x.libs/liby-1a2b.so.5.18", extension) == []
    assert faults("x/__init__.py", b"import os\n") == []


def doctored(extension: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    assert old in extension
    return extension.replace(old, new)


def test_another_processor_is_a_fault(faults: Callable[..., list[str]], extension: bytes) -> None:
    for_intel = extension[:18] + (62).to_bytes(2, "little") + extension[20:]
    assert faults(EXTENSION, for_intel) == [f"{EXTENSION}: is for EM_X86_64, not EM_AARCH64 (arm64)"]
    [name, machine] = faults(EXTENSION, extension, "x86_64")
    assert "cpython-313-aarch64-linux-gnu, not cpython-313-x86_64-linux-gnu" in name
    assert "is for EM_AARCH64, not EM_X86_64 (x86_64)" in machine


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        (b"GLIBC_2.28", True),
        (b"GLIBC_2.34", True),
        (b"GLIBC_2.35", False),
        (b"GLIBC_2.40", False),
        (b"GLIBC_9.00", False),
        (b"GLIBC_ABIX", False),
    ],
)
def test_a_later_glibc_is_a_fault(
    faults: Callable[..., list[str]], extension: bytes, version: bytes, fits: bool
) -> None:
    found = faults(EXTENSION, doctored(extension, b"GLIBC_2.17", version))
    assert found == ([] if fits else [f"{EXTENSION}: needs {version.decode()}; Amazon Linux 2023 has GLIBC_2.34"])


def test_a_library_that_is_nowhere_is_a_fault(
    faults: Callable[..., list[str]], extension: bytes, tmp_path: Path
) -> None:
    needy = doctored(extension, b"libm.so.6\0", b"libq.so.6\0")
    assert faults(EXTENSION, needy) == [
        f"{EXTENSION}: needs libq.so.6, which neither the package nor Amazon Linux 2023 has"
    ]
    (tmp_path / "x.libs").mkdir()
    (tmp_path / "x.libs" / "libq.so.6").write_bytes(extension)
    assert binaries.faults(tmp_path, [EXTENSION, "x.libs/libq.so.6"], "arm64") == []


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("x/y.cpython-312-aarch64-linux-gnu.so", None, "is for cpython-312-aarch64-linux-gnu, not cpython-313-aarch64"),
        ("x/y.cpython-313t-aarch64-linux-gnu.so", None, "is for cpython-313t-aarch64-linux-gnu, not cpython-313-"),
        ("x/y.cpython-313-aarch64-linux-musl.so", None, "is for cpython-313-aarch64-linux-musl, not cpython-313-"),
        ("x/y.cpython-313-x86_64-linux-gnu.so", None, "is for cpython-313-x86_64-linux-gnu, not cpython-313-aarch64"),
        ("x/y.cpython-313-darwin.so", bytes.fromhex("cffaedfe0c000001"), "is a library for macOS"),
        ("x/liby.dylib", b"", "is a library for macOS"),
        ("x/y.cp313-win_arm64.pyd", b"MZ", "is a program or library for Windows"),
        ("x/y.so", b"not a library\n", "is named as a library, but is none"),
        ("x/y.so", b"\x7fELF\x02\x01\x01", "is damaged"),
    ],
)
def test_other_systems_and_pythons_are_faults(
    faults: Callable[..., list[str]], extension: bytes, name: str, content: bytes | None, fault: str
) -> None:
    [found] = faults(name, extension if content is None else content)
    assert found.startswith(f"{name}: {fault}")


@pytest.mark.parametrize("kept", [64, 400, 5_000, 100_000])
def test_a_library_that_was_cut_off_is_a_fault(faults: Callable[..., list[str]], extension: bytes, kept: int) -> None:
    assert faults(EXTENSION, extension[:kept])


def test_a_library_whose_header_is_nonsense_is_a_fault(faults: Callable[..., list[str]], extension: bytes) -> None:
    nowhere = extension[:40] + b"\xff" * 8 + extension[48:]  # where the section headers are
    [found] = faults(EXTENSION, nowhere)
    assert found.startswith(f"{EXTENSION}: is damaged")


def test_a_package_with_a_fault_is_not_built(extension: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def install(_function: str, _requirements: Path, tree: Path, _target: object) -> dict[str, str]:
        (tree / "msgspec").mkdir(parents=True)
        (tree / EXTENSION).write_bytes(doctored(extension, b"GLIBC_2.17", b"GLIBC_2.38"))
        return {}

    monkeypatch.setattr(dependencies, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(dependencies, "BUILT", tmp_path / "built")
    monkeypatch.setattr(dependencies, "_install", install)
    with pytest.raises(packaging.PackagingError) as error:
        packaging.build("refresh", "lambda", tmp_path / "out")
    assert str(error.value) == (
        "refresh would not run on Lambda (arm64) with requirements/refresh.txt:\n"
        f"{EXTENSION}: needs GLIBC_2.38; Amazon Linux 2023 has GLIBC_2.34"
    )
    assert not list(tmp_path.rglob("*.zip"))
