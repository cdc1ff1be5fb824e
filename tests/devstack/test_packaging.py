"""The functions' packages: the same each time, nothing missing, nothing that a function has no use for."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import textwrap
import time
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from devstack.traffic import DEFAULT_SOURCE
from pipeline import packaging
from pipeline.migration.__main__ import create
from pipeline.packaging import dependencies, sources
from pipeline.packaging.functions import Budget, Function
from pipeline.packaging.target import Target
from tests.strategies import records, updated, user

HOST = Target("host", "arm64")

# What each function does in its life, for the modules that it only imports then.
LIVES = {
    "sync-postgres": """
        import os
        import pipeline.functions.sync, pipeline.sinks.postgres, pipeline.backfill.load
        os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
        from pipeline.settings import Database
        from pipeline.sinks.iam import token
        assert "X-Amz-Signature" in token(Database(host="h", port=5432, name="n", user="u", region="us-east-1"))
        """,
    "sync-dynamodb": """
        import pipeline.functions.sync, pipeline.backfill.load
        import pipeline.sinks.dynamodb, pipeline.sinks.dynamodb_requests
        client("dynamodb")
        """,
    "refresh": """
        import pipeline.functions.refresh
        client("sqs"), client("secretsmanager"), client("lambda")
        """,
    "backfill": """
        import pipeline.functions.backfill
        client("s3"), client("lambda")
        """,
    "migrate": """
        import pipeline.functions.migrate, pipeline.sinks.iam
        import pipeline.schema, pipeline.migration.lock, pipeline.roles  # as migrations/env.py does
        import pipeline.migration.views  # as a migration of the user's own may
        import alembic.script, sqlalchemy.dialects.postgresql.psycopg
        """,
    "reconcile": """
        import pipeline.functions.reconcile, pipeline.sinks.iam
        client("dynamodb")
        """,
    "roles": """
        import pipeline.functions.roles
        client("rds-data"), client("secretsmanager")
        """,
    "watch": """
        import pipeline.functions.watch
        from pipeline.archive import questions
        assert questions.load("mfa_weakened").finding
        client("athena"), client("dynamodb"), client("sns")
        """,
    "manifest": """
        import pipeline.functions.manifest
        client("s3"), client("kms")
        """,
}

# Runs a program with nothing but a package and the standard library to import from; tells where modules came from.
ALONE = """
import sys
sys.path = [path for path in sys.path if "-packages" not in path] + [sys.argv[1]]
def client(service):
    import botocore.session
    botocore.session.get_session().create_client(service, region_name="us-east-1", endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="test", aws_secret_access_key="test").meta.service_model.operation_names
{program}
import json
files = {{name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}}
print(json.dumps({{name: file for name, file in files.items() if file}}))
"""


def run_alone(package: Path, directory: Path, program: str, **environment: str) -> list[str]:
    """Run a program in a package by itself; the lines that it printed, of which the last names its modules."""
    with zipfile.ZipFile(package) as content:
        content.extractall(directory)
    code = ALONE.format(program=textwrap.dedent(program))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", code, str(directory)],
        capture_output=True,
        text=True,
        cwd=directory,
        env={"PATH": os.environ["PATH"]} | environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("packages")
    return {function: packaging.build(function, "host", out) for function in packaging.FUNCTIONS}


def names(package: Path) -> list[str]:
    with zipfile.ZipFile(package) as content:
        return content.namelist()


@pytest.mark.parametrize("function", packaging.FUNCTIONS)
def test_imports_from_itself_alone_and_all_of_itself(function: str, packages: dict[str, Path], tmp_path: Path) -> None:
    printed = run_alone(packages[function], tmp_path, LIVES[function])
    loaded = {name: Path(file).resolve() for name, file in json.loads(printed[-1]).items()}
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
    ours = {
        file.relative_to(tmp_path.resolve()).as_posix() for name, file in loaded.items() if name.startswith("pipeline")
    }
    assert ours == {name for name in names(packages[function]) if name.startswith("pipeline/") and name[-3:] == ".py"}


def test_the_migrations_run_from_their_package_and_the_sync_from_its_own(
    packages: dict[str, Path], tmp_path: Path, empty_postgres_url: str
) -> None:
    migrate = """
        from pipeline.functions.migrate import handler
        print(handler({}, None)["to"])
        """
    *_, revision, _modules = run_alone(
        packages["migrate"], tmp_path / "migrate", migrate, DATABASE_URL=empty_postgres_url
    )
    assert (
        revision
        == max(path.stem for path in packaging.ROOT.joinpath("migrations/versions").glob("*.py")).partition("_")[0]
    )
    messages = records(updated(user()))
    sync = f"""
        from pipeline.functions.sync import handler
        for _ in range(2):
            print(handler({{"Records": {messages!r}}}, None))
        """
    printed = run_alone(
        packages["sync-postgres"],
        tmp_path / "sync",
        sync,
        DATABASE_URL=empty_postgres_url,
        SINK="postgres",
        EVENT_SOURCES=DEFAULT_SOURCE,
        AWS_LAMBDA_FUNCTION_NAME="sync",
    )
    assert printed.count("{'batchItemFailures': []}") == 2
    lines = [json.loads(line) for line in printed[:-1] if line.startswith('{"')]
    assert [(line["applied"], line["duplicate"]) for line in lines if line.get("message") == "batch"] == [
        (1, 0),
        (0, 1),
    ]


def test_the_users_own_migrations_are_in_the_package_and_run_from_it(
    tmp_path: Path, empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "checkout"
    for part in ("pipeline", "migrations"):
        shutil.copytree(packaging.ROOT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
    own = create("plan", directory=checkout / "migrations")
    own.write_text(own.read_text().replace("the statements of the migration", "CREATE TABLE auth0.plans ()"))
    monkeypatch.setattr(sources, "ROOT", checkout)
    package = packaging.build("migrate", "host", tmp_path)
    migrate = """
        from pipeline.functions.migrate import handler
        print(handler({}, None)["own"]["to"])
        """
    *_, revision, _modules = run_alone(package, tmp_path / "migrate", migrate, DATABASE_URL=empty_postgres_url)
    assert revision == own.name.partition("_")[0]


@pytest.mark.parametrize("function", packaging.FUNCTIONS)
def test_holds_what_it_needs_and_no_more(function: str, packages: dict[str, Path]) -> None:
    content = names(packages[function])
    assert len(content) == len(set(content))
    assert not [name for name in content if name.endswith((".pyc", ".pyi", "/RECORD")) or name.startswith("bin/")]
    has = {
        part
        for part in ("sqlalchemy", "alembic", "boto3", "psycopg", "botocore", "msgspec", "urllib3")
        if f"{part}/__init__.py" in content
    }
    wanted = {
        "sync-postgres": {"psycopg", "msgspec"},
        "sync-dynamodb": {"boto3", "botocore", "msgspec"},
        "refresh": {"botocore", "msgspec", "urllib3"},
        "backfill": {"botocore", "msgspec"},
        "migrate": {"alembic", "sqlalchemy", "psycopg"},
        "reconcile": {"botocore", "msgspec", "psycopg", "urllib3"},
        "roles": {"botocore", "msgspec"},
        "watch": {"botocore", "msgspec"},
        "manifest": {"botocore", "msgspec"},
    }
    assert wanted[function] <= has
    assert ("sqlalchemy" in has) == (function == "migrate")
    assert ("boto3" in has) == (function == "sync-dynamodb")
    assert ("botocore" in has) == ("psycopg" not in has or function == "reconcile")
    assert ("psycopg" in has) == (function in ("sync-postgres", "migrate", "reconcile"))
    assert ("migrations/env.py" in content) == (function == "migrate")
    assert ("pipeline/sinks/rds-ca-bundle.pem" in content) == ("psycopg" in has)
    assert ("botocore/cacert.pem" in content) == ("botocore" in has)
    services = {name.split("/")[2] for name in content if name.startswith("botocore/data/") and name.count("/") > 2}
    assert services == set(packaging.FUNCTIONS[function].services)


@pytest.mark.parametrize("function", packaging.FUNCTIONS)
def test_a_package_describes_every_service_that_its_code_calls(function: str) -> None:
    wanted = packaging.FUNCTIONS[function]
    code = [path.read_text() for _, path in sources.files(wanted) if path.suffix == ".py"]
    called = {name for text in code for name in re.findall(r'\b(?:create_|aws_)?client\(\s*"([a-z0-9-]+)"', text)}
    # The sync's one handler makes the client of DynamoDB, and only for that sink.
    assert called - ({"dynamodb"} if function == "sync-postgres" else set()) == set(wanted.services)


# --- reproducible ---------------------------------------------------------------------------------------------------

BUILD = "import sys; from pathlib import Path; from pipeline.packaging import build; build(sys.argv[1], 'host', Path())"


def test_another_checkout_user_and_day_give_the_same_bytes(packages: dict[str, Path], tmp_path: Path) -> None:
    checkout, home = tmp_path / "a b" / "checkout", tmp_path / "home"
    for part in ("pipeline", "migrations", "requirements"):
        shutil.copytree(packaging.ROOT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(packaging.ROOT / "pyproject.toml", checkout)
    home.mkdir()
    for path in checkout.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (1, 1))
    (checkout / "pipeline" / "sinks" / "notes.txt").write_text("of nobody's business")
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    elsewhere = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "HOME": str(home), "PYTHONHASHSEED": "7", "PYTHONUTF8": "0"}
    for function in ("sync-dynamodb", "migrate"):
        subprocess.run(
            [sys.executable, "-c", BUILD, function],
            cwd=checkout,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(checkout)} | pip | elsewhere,
            umask=0o077,
            check=True,
        )
        assert list(checkout.glob(f"build/cache/dependencies/{function}-host-*.zip"))
        again = checkout / f"{function}.zip"
        assert again.read_bytes() == packages[function].read_bytes()
        assert again.stat().st_mode == packages[function].stat().st_mode


def test_the_digest_is_of_the_contents_however_they_are_compressed(packages: dict[str, Path], tmp_path: Path) -> None:
    package = packages["sync-dynamodb"]
    stored, changed = tmp_path / "stored.zip", tmp_path / "changed.zip"
    with (
        zipfile.ZipFile(package) as content,
        zipfile.ZipFile(stored, "w") as same,
        zipfile.ZipFile(changed, "w") as other,
    ):
        for name in reversed(content.namelist()):
            same.writestr(name, content.read(name))
            other.writestr(name, content.read(name) + (b"\n" if name == "pipeline/errors.py" else b""))
    assert stored.read_bytes() != package.read_bytes()
    assert packaging.digest(stored) == packaging.digest(package)
    assert packaging.digest(changed) != packaging.digest(package)


def test_digest_covers_all_packages(packages: dict[str, Path], tmp_path: Path) -> None:
    """CI and a deployment compare it: it has the names and contents of every package."""
    paths = [*packages.values()]
    assert packaging.combined(paths) == packaging.combined(reversed(paths))
    renamed = Path(shutil.copy(paths[0], tmp_path / "another.zip"))
    assert packaging.combined([*paths[1:], renamed]) != packaging.combined(paths)
    assert packaging.combined(paths[1:]) != packaging.combined(paths)


# --- the project's own files ------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return a function that makes a project, and returns its packaged files for a handler in `pipeline.run`."""
    monkeypatch.setattr(sources, "ROOT", tmp_path)

    def packaged(content: dict[str, str], **spec: tuple[str, ...]) -> list[str]:
        for name, text in content.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(textwrap.dedent(text))
        return [name for name, _ in sources.files(Function("pipeline.run", "x.txt", Budget(1, 1), **spec))]

    return packaged


def test_follows_imports_wherever_they_are(project: Callable[..., list[str]]) -> None:
    content = {
        "pipeline/__init__.py": "",
        "pipeline/run.py": """
            import pipeline.a.deep
            from typing import TYPE_CHECKING
            from pipeline import b, name_of_init
            if TYPE_CHECKING:
                from pipeline import only_types
            else:
                from pipeline import otherwise
            def late():
                from pipeline.c import thing
            """,
        "pipeline/a/__init__.py": "import pipeline.of_a",
        "pipeline/a/deep.py": "import json, boto3",
        "pipeline/a/other.py": "",
        "migrations/m.py": "import pipeline.of_m",
        **{f"pipeline/{name}.py": "" for name in ("b", "c", "of_a", "of_m", "only_types", "otherwise", "stranger")},
    }
    assert project(content, files=("migrations/*.py",)) == [
        "migrations/m.py",
        "pipeline/__init__.py",
        "pipeline/a/__init__.py",
        "pipeline/a/deep.py",
        "pipeline/b.py",
        "pipeline/c.py",
        "pipeline/of_a.py",
        "pipeline/of_m.py",
        "pipeline/otherwise.py",
        "pipeline/run.py",
    ]


def test_leaves_out_what_a_function_never_gets_to(project: Callable[..., list[str]]) -> None:
    content = {
        "pipeline/run.py": "def one():\n    import pipeline.one\ndef two():\n    import pipeline.two",
        "pipeline/one.py": "",
        "pipeline/two.py": "import pipeline.under_two",
        "pipeline/under_two.py": "",
    }
    assert project(content, without=("pipeline.two",)) == ["pipeline/one.py", "pipeline/run.py"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("from . import sinks", r"pipeline/run\.py has a relative import"),
        ("from .sinks import x", r"pipeline/run\.py has a relative import"),
    ],
)
def test_refuses_imports_that_it_cannot_follow(project: Callable[..., list[str]], source: str, message: str) -> None:
    with pytest.raises(packaging.PackagingError, match=message):
        project({"pipeline/run.py": source})


def test_says_what_is_missing(project: Callable[..., list[str]]) -> None:
    with pytest.raises(packaging.PackagingError, match=r"no module pipeline\.run"):
        project({})
    with pytest.raises(packaging.PackagingError, match=r"There is no pipeline/\*\.pem"):
        project({"pipeline/run.py": ""}, files=("pipeline/*.pem",))


# --- dependencies -----------------------------------------------------------------------------------------------------


def test_changed_sources_cost_no_installation(
    packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "changed.py"
    changed.write_text("ANSWER = 42\n")
    ours = [*sources.files(packaging.FUNCTIONS["migrate"]), ("pipeline/changed.py", changed)]
    monkeypatch.setattr(sources, "files", lambda _spec: ours)
    monkeypatch.setattr(dependencies, "_install", lambda *_arguments: pytest.fail("installed again"))
    before = time.perf_counter()
    package = packaging.build("migrate", "host", tmp_path)
    assert time.perf_counter() - before < 1
    assert set(names(package)) - set(names(packages["migrate"])) == {"pipeline/changed.py"}


class TestCache:
    """CI may share `build/cache` between jobs, and then a job of a pull request can write what a deployment reads."""

    @pytest.fixture
    def build(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
        """Return a function that builds a package whose only dependency is a module of one line."""

        def install(_function: str, _requirements: Path, tree: Path, _target: Target) -> dict[str, str]:
            tree.mkdir()
            (tree / "good.py").write_text("GOOD = True\n")
            return {}

        monkeypatch.setattr(dependencies, "CACHE", tmp_path / "cache")
        monkeypatch.setattr(dependencies, "BUILT", tmp_path / "built")
        monkeypatch.setattr(dependencies, "_install", install)
        return lambda: packaging.build("migrate", "host", tmp_path / "out")

    @pytest.fixture
    def layer(self, build: Callable[[], Path], tmp_path: Path) -> Path:
        build()
        [layer] = (tmp_path / "cache").glob("*.zip")
        return layer

    def test_functions_with_the_same_pins_are_installed_together(
        self, build: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        build()
        install, installed = dependencies._install, []

        def counted(function: str, *arguments: Any) -> dict[str, str]:
            installed.append(function)
            return install(function, *arguments)

        monkeypatch.setattr(dependencies, "_install", counted)
        for function in packaging.FUNCTIONS:
            package = packaging.build(function, "host", tmp_path / "out")
            assert "good.py" in names(package)
        assert installed == ["sync-postgres", "sync-dynamodb", "refresh", "reconcile"]

    def plant(self, layer: Path) -> None:
        with zipfile.ZipFile(layer, "w") as planted:
            planted.writestr("evil.py", "EVIL = True\n")

    def test_a_layer_of_another_clone_is_built_again(
        self, build: Callable[[], Path], layer: Path, tmp_path: Path
    ) -> None:
        """Its name follows from the repository, so anybody can give a zip that name."""
        self.plant(layer)
        shutil.rmtree(tmp_path / "built")
        assert {"good.py"} == {name for name in names(build()) if "/" not in name}
        assert {"good.py"} == {*names(layer)}

    def test_a_layer_that_changed_since_it_was_built_is_refused(self, build: Callable[[], Path], layer: Path) -> None:
        self.plant(layer)
        with pytest.raises(packaging.PackagingError, match=rf"has changed since it was built here.*rm {layer}"):
            build()
        layer.unlink()
        assert "good.py" in names(build())

    def test_own_layer_is_reused_and_an_old_one_is_deleted_with_its_record(
        self, build: Callable[[], Path], layer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = layer.stat().st_mtime_ns
        build()
        assert layer.stat().st_mtime_ns == before
        monkeypatch.setattr(dependencies, "identity", lambda *_inputs: "another")
        build()
        assert [path.stem for path in (tmp_path / "built").iterdir()] == ["migrate-host-another"]
        assert [path.stem for path in (tmp_path / "cache").glob("*.zip")] == ["migrate-host-another"]


def test_pip_installs_hashed_wheels_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, pins = tmp_path / "files", tmp_path / "pins.txt"
    files.mkdir()
    with zipfile.ZipFile(files / "thing-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("thing.py", "")
        wheel.writestr("thing-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1\n")
        wheel.writestr("thing-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("thing-1.dist-info/RECORD", "")
    with tarfile.open(files / "source-1.tar.gz", "w:gz"):
        pass
    hashes = {path.name.partition("-")[0]: sha256(path.read_bytes()).hexdigest() for path in files.iterdir()}
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(files))
    pins.write_text(f"thing==1 --hash=sha256:{hashes['thing']}\n")
    assert dependencies._install("sync", pins, tmp_path / "good", HOST) == {"thing": hashes["thing"]}
    for line in ("thing==1", f"thing==1 --hash=sha256:{'0' * 64}", f"source==1 --hash=sha256:{hashes['source']}"):
        pins.write_text(f"{line}\n")
        with pytest.raises(packaging.PackagingError):
            dependencies._install("sync", pins, tmp_path / "bad", HOST)
    assert not (tmp_path / "bad").exists()


def test_another_pin_or_target_is_another_layer(tmp_path: Path) -> None:
    spec = packaging.FUNCTIONS["migrate"]
    pins = tmp_path / "pins.txt"
    pins.write_text("a==1\n")
    targets = (HOST, Target("lambda", "arm64"), Target("lambda", "x86_64"))
    first = [dependencies.identity(pins, spec, target) for target in targets]
    assert len(set(first)) == len(targets)
    pins.write_text("a==2\n")
    assert dependencies.identity(pins, spec, HOST) not in first


def test_an_installation_that_fails_says_what_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "migrate.txt").write_text("alembic==1.0.0\n")  # no hash
    monkeypatch.setattr(dependencies, "ROOT", tmp_path)
    monkeypatch.setattr(dependencies, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(dependencies, "BUILT", tmp_path / "built")
    with pytest.raises(packaging.PackagingError, match=r"(?s)migrate\.txt for migrate.*hash"):
        packaging.build("migrate", "host", tmp_path)
    (tmp_path / "requirements" / "migrate.txt").unlink()
    with pytest.raises(packaging.PackagingError, match=r"no requirements/migrate\.txt"):
        packaging.build("migrate", "host", tmp_path)
    assert not list(tmp_path.glob("*.zip"))
