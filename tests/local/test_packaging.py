"""The functions' packages: the same bytes each time, nothing missing, nothing that a function has no use for."""

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from pipeline import packaging

HANDLERS = {
    "sync-postgres": ("pipeline.functions.sync", "pipeline.sinks.postgres", "pipeline.sinks.iam"),
    "sync-dynamodb": ("pipeline.functions.sync", "pipeline.sinks.dynamodb"),
    "refresh": ("pipeline.functions.refresh",),
    "migrate": ("pipeline.functions.migrate",),
}

# Imports modules with nothing but a package and the standard library to import from, and tells where they came from.
IMPORT_ALONE = """
import sys
package = sys.argv[1]
sys.path = [path for path in sys.path if "-packages" not in path] + [package]
import importlib, json
for name in sys.argv[2:]:
    importlib.import_module(name)
services = {"pipeline.sinks.dynamodb": ["dynamodb"], "pipeline.functions.refresh": ["sqs", "secretsmanager"]}
for service in [service for name in sys.argv for service in services.get(name, [])]:
    import boto3
    boto3.client(service, region_name="us-east-1", endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="test", aws_secret_access_key="test").meta.service_model.operation_names
if "pipeline.sinks.iam" in sys.argv:
    import os
    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
    from pipeline.settings import Database
    from pipeline.sinks.iam import token
    assert "X-Amz-Signature" in token(Database(host="h", port=5432, name="n", user="u", region="us-east-1"))
files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
print(json.dumps({name: file for name, file in files.items() if file}))
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("packages")
    return {function: packaging.build(function, "host", out) for function in packaging.FUNCTIONS}


def names(package: Path) -> list[str]:
    with zipfile.ZipFile(package) as content:
        return content.namelist()


@pytest.mark.parametrize("function", packaging.FUNCTIONS)
def test_imports_from_itself_alone(function: str, packages: dict[str, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(packages[function]) as content:
        content.extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", IMPORT_ALONE, str(tmp_path), *HANDLERS[function]],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = {name: Path(file).resolve() for name, file in json.loads(done.stdout).items()}
    standard = [
        Path(sys.base_prefix).resolve(),
        Path(sys.base_exec_prefix).resolve(),
        Path(os.__file__).resolve().parent,
    ]
    strangers = {
        name: str(file)
        for name, file in loaded.items()
        if not file.is_relative_to(tmp_path.resolve())
        and (not any(file.is_relative_to(root) for root in standard) or "-packages" in str(file))
    }
    assert not strangers
    assert loaded[HANDLERS[function][0]].is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize("function", packaging.FUNCTIONS)
def test_holds_what_it_needs_and_no_more(function: str, packages: dict[str, Path]) -> None:
    content = names(packages[function])
    assert len(content) == len(set(content))
    unwanted = ("cli/", "local/", "archive/", "traffic/", "packaging.py")
    assert not [name for name in content if name.startswith(tuple(f"pipeline/{part}" for part in unwanted))]
    assert not [name for name in content if name.endswith((".pyc", ".pyi", "/RECORD")) or name.startswith("bin/")]
    has = {
        part
        for part in ("sqlalchemy", "alembic", "boto3", "psycopg", "botocore", "msgspec", "urllib3")
        if f"{part}/__init__.py" in content
    }
    wanted = {
        "sync-postgres": {"psycopg", "botocore", "msgspec"},
        "sync-dynamodb": {"boto3", "botocore", "msgspec"},
        "refresh": {"boto3", "botocore", "msgspec", "urllib3"},
        "migrate": {"alembic", "sqlalchemy", "psycopg"},
    }
    assert wanted[function] <= has
    assert ("sqlalchemy" in has) == (function == "migrate")
    assert ("boto3" in has) == (function in ("sync-dynamodb", "refresh"))
    assert ("psycopg" in has) == (function in ("sync-postgres", "migrate"))
    assert any(name.startswith("pipeline/auth0/") for name in content) == (function == "refresh")
    assert ("pipeline/functions/sync.py" in content) == (function != "refresh")
    assert ("migrations/env.py" in content) == (function == "migrate")
    assert packaging.sizes(packages[function])[1] < 50e6


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaging, "CACHE", tmp_path / "cache")  # so that the dependencies are installed again
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    old = os.umask(0o077)
    try:
        again = packaging.build("sync-dynamodb", "host", tmp_path / "again")
    finally:
        os.umask(old)
    monkeypatch.undo()
    first = packaging.build("sync-dynamodb", "host", tmp_path / "first")
    assert again.read_bytes() == first.read_bytes()
    assert again.stat().st_mode == first.stat().st_mode


def test_changed_sources_cost_no_installation(
    packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "changed.py"
    changed.write_text("ANSWER = 42\n")
    sources = [*packaging._sources(packaging.FUNCTIONS["migrate"]), ("pipeline/changed.py", changed)]
    monkeypatch.setattr(packaging, "_sources", lambda _spec: iter(sources))
    monkeypatch.setattr(packaging, "_install", lambda *_arguments: pytest.fail("installed again"))
    before = time.perf_counter()
    package = packaging.build("migrate", "host", tmp_path)
    assert time.perf_counter() - before < 1
    assert set(names(package)) - set(names(packages["migrate"])) == {"pipeline/changed.py"}


def test_a_changed_pin_is_another_layer(tmp_path: Path) -> None:
    spec = packaging.FUNCTIONS["migrate"]
    pins = tmp_path / "pins.txt"
    pins.write_text("a==1\n")
    first = packaging._digest(pins, spec, "host")
    assert packaging._digest(pins, spec, "lambda") != first
    pins.write_text("a==2\n")
    assert packaging._digest(pins, spec, "host") != first


def test_an_installation_that_fails_says_what_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "migrate.txt").write_text("alembic==1.0.0\n")  # no hash
    monkeypatch.setattr(packaging, "ROOT", tmp_path)
    monkeypatch.setattr(packaging, "CACHE", tmp_path / "cache")
    with pytest.raises(packaging.PackagingError, match=r"(?s)migrate\.txt for migrate.*hash"):
        packaging.build("migrate", "host", tmp_path)
    assert not list(tmp_path.glob("*.zip"))
