"""The servers of the tests that want them: Postgres with a fresh database for each test, and one emulator of AWS."""

import atexit
import gc
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest
from docker.errors import DockerException
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from devstack import postgres
from devstack.emulator import process
from tests import shared
from tests.emulator.support import Aws

pytest_plugins = ["tests.stack.fixtures"]

TEMPLATE = "migrated"
MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30
"""Free bytes of MEMORY from which on the tests write there. As root they take 1.1 GB; as another user they have all
their servers there as well, of 70 MB each."""
LONG = (
    "tests/deploy/test_production.py",
    "tests/deploy/test_whole.py",
    "tests/stack/test_sources.py",
    "tests/stack/test_chaos.py",
    "tests/stack/test_stack.py",
    "tests/stack/",
    "tests/attacks/",
    "tests/infra/test_terraform.py",
)
"""Tests that run Terraform for minutes, mostly waiting: they start first, so that the others run beside them.

test_sources.py waits for empty queues, test_chaos.py for empty dead-letter queues, and other tests of the stack leave
signals that the refresh defers for ever; test_stack.py counts the users of its own run, and the tests after it add
others.
"""

TOGETHER = {
    "tests/stack/": "stack",
    "tests/attacks/": "stack",
    "tests/infra/": "terraform",
}
"""Files that share what takes long to make, and the names of their groups; every other file is a group of its own."""


def _have_memory() -> bool:
    """Return whether MEMORY has room, and lets programs run from it.

    Each database is 300 files, and each process of a function unpacks 150 to 400. Where ext4 has no journal, it passes
    over all files that were deleted in the last minutes to make a new one: for the databases alone that took a fifth of
    the CPU of all tests.
    """
    no_programs = getattr(os, "ST_NOEXEC", 0)  # macOS has none
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK) or os.statvfs(MEMORY).f_flag & no_programs:
        return False
    return shutil.disk_usage(MEMORY).free > ROOM


if _have_memory():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))  # the parent of pytest's temporary directories

shared.share()

if "PYTEST_XDIST_WORKER" in os.environ:
    # End a worker before Python's last collections of garbage: they take 1.5 s of CPU, and DuckDB prints a list of its
    # objects in them. Python calls the registered functions in reverse order: those of earlier imports are not called.
    atexit.register(os._exit, 0)
else:
    # Undo gc.freeze before Python's last collection, in which libraries in C free their objects.
    atexit.register(gc.unfreeze)

gc.set_threshold(20_000, 10, 10)
"""Collect garbage less often: it took a third of many tests' CPU."""

os.environ.setdefault("GOGC", "400")
"""Terraform and its provider collect garbage less often: a fifth less time for memory that the tests do not miss."""


settings.register_profile("unhurried", settings(), deadline=None)  # on a busy machine any example may take long
settings.register_profile("quick", settings.get_profile("unhurried"), max_examples=20)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "unhurried"))


class Groups(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Give each group to one worker, in the order of collection; pytest 9.2 loses the marks of `--dist loadgroup`."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((group for start, group in TOGETHER.items() if file.startswith(start)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    config.option.loadscopereorder = False
    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {start: place for place, start in enumerate(LONG)}
    items.sort(
        key=lambda item: next((place for start, place in places.items() if item.nodeid.startswith(start)), len(LONG))
    )
    for item in items:
        if "postgres_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.postgres)
        if "aws" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.emulator)


def pytest_collection_finish() -> None:
    """Leave the modules and the tests out of every later collection of garbage."""
    gc.freeze()


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
    directory = _directory(tmp_path_factory)
    try:
        yield postgres.start(directory, durable=False, settings=("max_wal_size=128MB",)).url
    finally:
        postgres.stop(directory, delete=True)


def _directory(factory: pytest.TempPathFactory) -> Path:
    """Return a new directory for a server: in memory one outside of pytest's, which only their owner may enter."""
    if _have_memory():
        return Path(tempfile.mkdtemp(prefix="auth0-sync-tests-", dir=MEMORY))
    return factory.mktemp("postgres")


@pytest.fixture(scope="session")
def _template(postgres_server: str) -> str:
    """Name of a database with the product's newest schema: copying it takes a twentieth of migrating another one."""
    from pipeline.functions.migrate import migrate
    from pipeline.settings import Database
    from tests.releases import HEAD

    migrate(Database(url=postgres.create_database(postgres_server, TEMPLATE)), HEAD)
    return TEMPLATE


@pytest.fixture
def postgres_url(postgres_server: str, _template: str) -> Iterator[str]:
    """URL of a database of the test's own, with the newest schema and no rows."""
    yield from _database(postgres_server, _template)


@pytest.fixture
def empty_postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of a database of the test's own, with nothing in it."""
    yield from _database(postgres_server, "template1")


def _database(server: str, template: str) -> Iterator[str]:
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
