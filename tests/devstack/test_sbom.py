"""The bill of materials of a package for Lambda: valid, complete, and the same each time."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from pipeline import packaging
from pipeline.cli.package import package

PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>\S+)(?P<marker> ;[^\\\n]*)?(?P<rest>(?: \\\n|\n    )[^#]*)", re.M)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packages")
    for function in packaging.FUNCTIONS:
        packaging.build(function, "lambda", out)
    return out


def read(out: Path, function: str) -> dict[str, Any]:
    bom: dict[str, Any] = json.loads((out / f"{function}.cdx.json").read_text())
    return bom


@pytest.mark.parametrize("function", packaging.FUNCTIONS)
def test_follows_the_schema(function: str, out: Path) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str((out / f"{function}.cdx.json").read_text()) is None
    wrong = read(out, function)
    del wrong["components"][0]["name"]
    assert validator.validate_str(json.dumps(wrong)) is not None


@pytest.mark.parametrize("function", packaging.FUNCTIONS)
def test_has_each_pin_with_a_hash_of_the_requirements_and_a_licence(function: str, out: Path) -> None:
    file = packaging.ROOT / "requirements" / packaging.FUNCTIONS[function].requirements
    pins = {found["name"]: found for found in PIN.finditer(file.read_text())}
    components = {component["name"]: component for component in read(out, function)["components"]}
    assert {name for name, pin in pins.items() if not pin["marker"]} <= components.keys() <= pins.keys()
    for name, component in components.items():
        assert component["version"] == pins[name]["version"]
        assert component["purl"] == f"pkg:pypi/{name}@{component['version']}"
        [digest] = component["hashes"]
        assert f"--hash=sha256:{digest['content']}" in pins[name]["rest"]
        assert component["licenses"]


def test_names_the_package_by_its_contents(out: Path) -> None:
    bom = read(out, "refresh")
    component = bom["metadata"]["component"]
    assert component["name"] == "auth0-sync-refresh"
    assert component["version"] == version("auth0-sync")
    assert component["properties"] == [
        {"name": "auth0-sync:content_sha256", "value": packaging.digest(out / "refresh.zip")}
    ]
    [needed] = [entry["dependsOn"] for entry in bom["dependencies"] if entry["ref"] == component["bom-ref"]]
    assert needed == [component["bom-ref"] for component in bom["components"]]


def test_is_the_same_for_the_same_contents(out: Path, tmp_path: Path) -> None:
    packaging.build("refresh", "lambda", tmp_path)
    again = (tmp_path / "refresh.cdx.json").read_bytes()
    assert again == (out / "refresh.cdx.json").read_bytes()
    bom = json.loads(again)
    assert "serialNumber" not in bom
    assert "timestamp" not in bom["metadata"]


def test_a_package_for_this_machine_has_none(tmp_path: Path) -> None:
    packaging.build("refresh", "host", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["refresh.zip"]


def test_the_command_prints_digests_that_lambda_and_a_deployment_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CodeSha256, in AWS's API reference, is the base64 of the zip's SHA-256."""
    package("lambda", "arm64", tmp_path, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    built = {function: tmp_path / "lambda" / f"{function}.zip" for function in packaging.FUNCTIONS}
    for function, path in built.items():
        assert printed[function]["content_sha256"] == packaging.digest(path)
        assert printed[function]["code_sha256"] == b64encode(sha256(path.read_bytes()).digest()).decode()
    package("lambda", "arm64", tmp_path)
    assert f"SHA-256 of all contents: {packaging.combined(built.values())[:16]}" in capsys.readouterr().out
