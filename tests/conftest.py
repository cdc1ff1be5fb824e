"""The servers of the tests that want them: Postgres with a fresh database for each test, and one emulator of AWS."""

import gc
import warnings
from collections.abc import Iterator
from uuid import uuid4

import docker
import pytest
from docker.errors import DockerException

from pipeline.local import postgres
from pipeline.local.emulator import process
from tests.emulator.support import Aws

TEMPLATE = "migrated"
LONG = (
    "tests/stack/",
    "tests/deploy/test_production.py",
    "tests/deploy/test_whole.py",
    "tests/infra/test_terraform.py",
)

TOGETHER = {
    "tests/stack/": "stack",
    "tests/infra/test_order.py": "state",
    "tests/infra/test_permissions.py": "state",
}
"""Files that share what takes long to make, and the names of their groups; every other file is a group of its own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # What runs Terraform takes minutes, mostly of waiting: it starts first, so that the other tests run beside it.
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
    for item in items:
        file = item.nodeid.partition("::")[0]
        group = next((group for start, group in TOGETHER.items() if file.startswith(start)), file)
        item.add_marker(pytest.mark.xdist_group(group))
        if "postgres_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.postgres)
        if "aws" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.emulator)


def _docker_answers() -> bool:
    with warnings.catch_warnings():
        # Where nobody answers, the client leaves its socket to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            docker.from_env(timeout=2).close()
        except DockerException:
            return False
        finally:
            gc.collect()
    return True


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server's maintenance database; each xdist worker has a server of its own."""
    if _docker_answers():
        from testcontainers.community.postgres import PostgresContainer

        image = f"postgres:{postgres.major()}"
        container = PostgresContainer(image, username="postgres", dbname="postgres", driver=None)
        # As on the embedded server, roles that a test makes sign in without a password.
        with container.with_env("POSTGRES_HOST_AUTH_METHOD", "trust"):
            yield container.get_connection_url()
        return
    directory = tmp_path_factory.mktemp("postgres")
    try:
        yield postgres.start(directory, durable=False).url
    finally:
        postgres.stop(directory, delete=True)


@pytest.fixture(scope="session")
def _template(postgres_server: str) -> str:
    """Name of a database with the newest schema: copying it takes a twentieth of migrating another one."""
    from pipeline.functions.migrate import migrate
    from pipeline.settings import Database

    migrate(Database(url=postgres.create_database(postgres_server, TEMPLATE)))
    return TEMPLATE


@pytest.fixture
def postgres_url(postgres_server: str, _template: str) -> Iterator[str]:
    """URL of a database of the test's own, with the newest schema and no rows."""
    yield from _database(postgres_server, _template)


@pytest.fixture
def empty_postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of a database of the test's own, with nothing in it."""
    yield from _database(postgres_server, None)


def _database(server: str, template: str | None) -> Iterator[str]:
    name = f"test_{uuid4().hex[:12]}"
    yield postgres.create_database(server, name, template=template)
    postgres.drop_database(server, name)


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """One patched emulator for the session, whose policies take effect at once."""
    with pytest.MonkeyPatch.context() as patches:
        patches.setenv("AUTH0_SYNC_EMULATOR_IAM_SECONDS", "0")
        patches.setenv("AUTH0_SYNC_EMULATOR_INTERFACE_SECONDS", "0.5")
        emulator = process.start(tmp_path_factory.mktemp("emulator"))
    yield Aws(emulator)
    process.stop(emulator.pid)
