"""The embedded server: it starts, is found again, ends, and gets over what a crash leaves behind."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
import pytest

from devstack import StackError, postgres
from tests.emulator.support import wait_for

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("made")
    yield path
    postgres.stop(path, delete=True)


@pytest.fixture
def made(_made: Path) -> Iterator[Path]:
    """Yield a directory whose data other tests may have made: making them takes most of a test's time."""
    yield _made
    postgres.stop(_made)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Yield a directory in which there is nothing yet."""
    path = tmp_path / "a server's home"
    yield path
    postgres.stop(path, delete=True)


def tell(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row else None


def test_major_version_is_the_one_that_was_chosen(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = postgres.start(made, durable=False)
    assert str(ask(server.url, "SHOW server_version")).split(".")[0] == postgres.major()
    monkeypatch.setenv("POSTGRES_MAJOR", "15")
    with pytest.raises(StackError, match="POSTGRES_MAJOR is '15'; there are servers of 16, 17, 18"):
        postgres.major()


def test_start_is_idempotent_and_stop_ends_every_process(made: Path) -> None:
    server = postgres.start(made, durable=False)
    assert postgres.start(made) == server == postgres.running(made)
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    assert len(family) > 1

    postgres.stop(made)

    assert postgres.running(made) is None
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)


def test_listens_on_loopback_only_and_leaves_no_socket_file(made: Path) -> None:
    server = postgres.start(made, durable=False)
    listening = {
        address.ip
        for address, status in ((c.laddr, c.status) for c in psutil.net_connections("inet"))
        if status == "LISTEN" and address and address.port == server.port
    }
    assert listening == {"127.0.0.1"}
    assert ask(server.url, "SHOW unix_socket_directories") == ""
    assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700


def test_settings_are_those_of_the_server(made: Path) -> None:
    server = postgres.start(made, durable=False, settings=("shared_buffers=16MB", "fsync=on"))
    assert ask(server.url, "SHOW shared_buffers") == "16MB"
    assert ask(server.url, "SHOW fsync") == "on"
    assert ask(server.url, "SHOW synchronous_commit") == "off"


def test_durable_unless_told_otherwise(made: Path) -> None:
    server = postgres.start(made)
    assert [ask(server.url, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")] == [
        "on"
    ] * 3
    postgres.stop(made)
    server = postgres.start(made, durable=False)
    assert ask(server.url, "SHOW fsync") == "off"


def test_times_and_order_do_not_depend_on_the_machine(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LC_ALL": "de_DE.UTF-8", "TZ": "Asia/Tokyo", "PGPORT": "1", "PGDATA": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    server = postgres.start(directory, durable=False)
    assert ask(server.url, "SHOW timezone") == "UTC"
    assert ask(server.url, "SHOW server_encoding") == "UTF8"
    assert ask(server.url, "SELECT 'Z' < 'a'") is True
    if postgres.major() != "16":
        assert ask(server.url, "SELECT lower('Ä')") == "ä"


def test_outlives_the_process_that_started_it(made: Path) -> None:
    start = "import sys; from pathlib import Path; from devstack import postgres; postgres.start(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", start, str(made)], check=True, cwd=Path(__file__).parents[2])
    server = postgres.running(made)
    assert server
    assert ask(server.url, "SELECT 1") == 1


def test_data_survives_a_killed_server(directory: Path) -> None:
    server = postgres.start(directory)
    url = postgres.create_database(server.url, "kept")
    tell(url, "CREATE TABLE t AS SELECT 42 AS answer")
    os.kill(server.pid, signal.SIGKILL)
    wait_for(lambda: postgres.running(directory) is None)

    again = postgres.start(directory, server.port)

    assert again.port == server.port
    assert ask(url, "SELECT answer FROM t") == 42


def test_shared_memory_is_in_the_directory(made: Path) -> None:
    server = postgres.start(made)
    assert [*server.data_dir.glob("pg_dynshmem/mmap.*")]


def test_a_pid_file_that_names_another_program_is_stale(made: Path) -> None:
    server = postgres.start(made, durable=False)
    pid_file = server.data_dir / "postmaster.pid"
    content = pid_file.read_text()
    postgres.stop(made)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        pid_file.write_text(content.replace(str(server.pid), str(other.pid), 1))
        assert postgres.running(made) is None
        postgres.stop(made)
        assert other.poll() is None
        assert postgres.start(made, durable=False).pid != other.pid
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("damage", ["cut short", "another major version"])
def test_unusable_data_is_made_anew(directory: Path, damage: str) -> None:
    server = postgres.start(directory, durable=False)
    postgres.stop(directory)
    if damage == "cut short":
        server.data_dir.rename(server.data_dir.with_name("data.unfinished"))
    else:
        (server.data_dir / "PG_VERSION").write_text("9\n")
    assert ask(postgres.start(directory, durable=False).url, "SELECT 1") == 1


def test_a_taken_port_is_only_a_wish(made: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = postgres.start(made, port, durable=False)
    assert server.port != port
    assert ask(server.url, "SELECT 1") == 1


def test_two_servers_at_once(made: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    try:
        first, second = postgres.start(made, durable=False), postgres.start(other, durable=False)
        assert first.port != second.port
        assert first.data_dir != second.data_dir
        postgres.stop(other)
        assert ask(first.url, "SELECT 1") == 1
    finally:
        postgres.stop(other, delete=True)


def test_below_a_private_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    directory = home / "clone" / "postgres"
    try:
        server = postgres.start(directory, durable=False)
        assert ask(server.url, "SELECT 1") == 1
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert postgres.running(directory) == server
    finally:
        postgres.stop(directory, delete=True)
    assert not server.data_dir.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts the server as another user")
def test_programs_below_a_private_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    package = postgres.WHEELS[postgres.major()]
    spec = find_spec(package)
    assert spec
    assert spec.origin
    for installed in (Path(spec.origin).parent, Path(spec.origin).parent.with_name(f"{package}.libs")):
        if installed.exists():
            shutil.copytree(installed, home / installed.name, symlinks=True)
    spec.origin = str(home / package / "__init__.py")
    monkeypatch.setattr(postgres, "find_spec", lambda _name: spec)
    directory = tmp_path / "postgres"
    try:
        server = postgres.start(directory, durable=False)
        assert ask(server.url, "SELECT 1") == 1
        assert not psutil.Process(server.pid).exe().startswith(str(home))
    finally:
        postgres.stop(directory, delete=True)


def test_a_server_that_cannot_start_says_why(directory: Path) -> None:
    server = postgres.start(directory, durable=False)
    postgres.stop(directory)
    (server.data_dir / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(StackError, match="no_such_setting"):
        postgres.start(directory)


def test_databases_are_copied_and_dropped(postgres_server: str) -> None:
    original = postgres.create_database(postgres_server, "original")
    tell(original, "CREATE TABLE t AS SELECT 7 AS n")
    copy = postgres.create_database(postgres_server, "copy", template="original")
    assert ask(copy, "SELECT n FROM t") == 7
    with psycopg.connect(copy):  # somebody is still connected
        postgres.drop_database(postgres_server, "copy")
    postgres.drop_database(postgres_server, "original")
    postgres.drop_database(postgres_server, "original")
    assert ask(postgres_server, "SELECT count(*) FROM pg_database WHERE datname IN ('original', 'copy')") == 0


def test_each_test_has_a_database_of_its_own(postgres_url: str, empty_postgres_url: str) -> None:
    assert ask(postgres_url, "SELECT count(*) FROM auth0.users") == 0
    assert ask(empty_postgres_url, "SELECT to_regclass('auth0.users')") is None
    assert postgres_url != empty_postgres_url
