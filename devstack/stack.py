"""The whole embedded stack: start and stop Postgres, the emulator and Terraform's resources in it together.

All its files are below `.local/` of the clone, so clones do not share anything. The emulator keeps its resources in
memory: after its end, Terraform's state and the rows in Postgres are obsolete and are deleted, too.
"""

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import boto3
import botocore.session
import psutil
import psycopg
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from psycopg import sql

from devstack import StackError, postgres
from devstack.emulator import log_file
from devstack.emulator import process as emulator
from devstack.processes import kill
from devstack.terraform import Terraform, aws_environment, end_leftovers
from pipeline import packaging, roles
from pipeline.deploy.environment import names
from pipeline.locks import exclusive
from pipeline.progress import Progress, Quiet
from pipeline.terraform import CONFIGURATION, TerraformError

DIRECTORY: Final = packaging.ROOT / ".local"
PACKAGES: Final = packaging.ROOT / "build" / "packages" / "host"
REGION: Final = "us-east-1"
ACCOUNT: Final = "000000000000"
DATABASE: Final = "auth0"
OWNER: Final = "auth0_admin"
"""The owner of the database, by the name of the master user in Terraform."""
_OWNER: Final = sql.Identifier(OWNER)
LOG_STREAM_SOURCE: Final = "aws.partner/auth0.com/acme-8b47abb4-0c52-4a5f-9a26-demo00000000/auth0.logs"
MIGRATION_SECONDS: Final = 120
POSTGRES, EMULATOR = "Postgres", "AWS emulator"
"""The names of the parts that are processes."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack: the addresses of its parts, and Terraform's outputs by name. The URL is the superuser's."""

    endpoint: str
    region: str
    database_url: str
    log_stream_source: str
    emulator_pid: int
    postgres_pid: int
    outputs: dict[str, Any]

    def url_of(self, role: str) -> str:
        """Return the URL of the database for a role. The server needs no passwords."""
        parts = urlsplit(self.database_url)
        return urlunsplit(parts._replace(netloc=f"{role}@{parts.hostname}:{parts.port}"))

    def client(self, service: str) -> Any:
        """Return a boto3 client of the emulator that ignores the caller's AWS profile, files and proxies."""
        return _client(self.endpoint, self.region, service)


@cache
def _client(endpoint: str, region: str, service: str) -> Any:
    """Make a client once: each takes 0.1 s of CPU, and is as good for the next request, also of another thread."""
    nothing = {"profile": (None, None, None, None)}
    files = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    session = boto3.Session(
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - what the emulator expects
        region_name=region,
        botocore_session=botocore.session.Session(session_vars=nothing | files),
    )
    config = Config(
        proxies={},
        s3={"addressing_style": "path"},
        retries={"total_max_attempts": 2},
        connect_timeout=5,
        read_timeout=MIGRATION_SECONDS,
        max_pool_connections=32,
    )
    return session.client(service, endpoint_url=endpoint, config=config)  # type: ignore[call-overload]  # the stubs have an overload per service


@dataclass(frozen=True, slots=True)
class Status:
    """The parts that run now; `ready` if the whole stack is usable."""

    postgres: bool
    emulator: bool
    ready: bool
    stack: Stack | None


@dataclass(frozen=True, slots=True)
class _Saved:
    """stack.json. `applying` stays true after an interrupted apply; `applied` is a digest of the last one's inputs."""

    stack: Stack
    applying: bool = False
    applied: str = ""


def up(
    progress: Progress | None = None,
    directory: Path = DIRECTORY,
    options: Callable[[Stack], dict[str, str]] = lambda _stack: {},
) -> Stack:
    """Start the stack, or its stopped parts, and return it. Raises StackError and leaves running parts as they are.

    `options` returns further Terraform variables, and may first create the resources that they name in the emulator.
    """
    progress = progress or Quiet()
    with _lock(directory):
        end_leftovers(directory / "terraform")
        saved = _load(directory)
        if saved and not _resumable(saved, directory):
            saved = None
        if saved is None and ((directory / "stack.json").exists() or _emulators(directory)):
            with progress.step("Clearing an interrupted stack"):
                _forget(directory)
        elif saved is None:
            _forget(directory)  # a state file or workers of an emulator that has ended
        saved = _start(saved, progress, directory)
        make_roles(saved.stack)
        saved = _apply(saved, progress, directory, options)
        _migrate(saved.stack, progress)
        return saved.stack


def down(directory: Path = DIRECTORY, *, progress: Progress | None = None) -> None:
    """Stop everything and delete its data, except the installed provider. Does nothing if nothing is up."""
    progress = progress or Quiet()
    if not directory.exists():
        return
    with _lock(directory):
        end_leftovers(directory / "terraform")
        with progress.step(EMULATOR):
            _forget(directory)
        with progress.step(POSTGRES):
            postgres.stop(directory / "postgres", delete=True)
        shutil.rmtree(directory / "emulator", ignore_errors=True)


def status(directory: Path = DIRECTORY) -> Status:
    """Return the running parts, by their processes."""
    saved = _load(directory)
    server = postgres.running(directory / "postgres") is not None
    answering = saved is not None and _answers(saved.stack, directory)
    ready = saved is not None and server and answering and bool(saved.applied) and not saved.applying
    return Status(server, answering, ready, saved.stack if saved else None)


def current(directory: Path = DIRECTORY) -> Stack:
    """Return the running stack. Raises StackError, which says how to start one, if there is none."""
    found = status(directory)
    if not found.ready or found.stack is None:
        raise StackError("The local stack is not up. Start it with: make up")
    return found.stack


def parts(directory: Path = DIRECTORY) -> dict[str, int]:
    """Return the processes that the stack is made of, by name, whether they run or have died; none before they run."""
    saved = _load(directory)
    return {POSTGRES: saved.stack.postgres_pid, EMULATOR: saved.stack.emulator_pid} if saved else {}


def running(directory: Path = DIRECTORY) -> list[tuple[str, int]]:
    """Return the processes of the stack that run now, also those of a stack that was never complete."""
    server = postgres.running(directory / "postgres")
    found = [(POSTGRES, server.pid)] if server else []
    return found + [(EMULATOR, pid) for pid in _emulators(directory)]


def log_of(part: str, directory: Path = DIRECTORY) -> Path:
    """Return the path of the log of a part."""
    return postgres.log(directory / "postgres") if part == POSTGRES else directory / "emulator" / log_file.NAME


def environment(stack: Stack) -> dict[str, str]:
    """Return the variables with which the `auth0-sync` command, AWS tools and psql use the stack."""
    # Keep the caller's proxy from being used for this machine.
    bypass = [entry for entry in os.environ.get("NO_PROXY", "").split(",") if entry]
    local = {"NO_PROXY": ",".join(dict.fromkeys([*bypass, "127.0.0.1", "localhost"]))}
    ours = {"DATABASE_URL": stack.url_of("auth0_reader"), "LOG_STREAM_SOURCE": stack.log_stream_source}
    return aws_environment(stack.endpoint, stack.region) | ours | local | names(stack.outputs)


# --- the steps ----------------------------------------------------------------------------------------------------


def _start(saved: _Saved | None, progress: Progress, directory: Path) -> _Saved:
    """Start the servers, build the packages and install Terraform's provider at the same time."""

    def start_postgres() -> postgres.Server:
        with progress.step(POSTGRES) as step:
            server = postgres.start(directory / "postgres", port=_port_of(saved))
            if saved is None:
                postgres.drop_database(server.url, DATABASE)
            with suppress(psycopg.errors.DuplicateDatabase):
                postgres.create_database(server.url, DATABASE)
            step.update(f"127.0.0.1:{server.port}")
            return server

    def start_emulator() -> tuple[str, int]:
        with progress.step(EMULATOR) as step:
            if saved:
                step.update(f"{saved.stack.endpoint} (already up)")
                return saved.stack.endpoint, saved.stack.emulator_pid
            started = emulator.start(directory / "emulator", region=REGION)
            step.update(started.endpoint)
            return started.endpoint, started.pid

    def build_packages() -> None:
        with progress.step("Function packages") as step, ThreadPoolExecutor(len(packaging.FUNCTIONS)) as pool:
            builds = [pool.submit(packaging.build, name, "host", PACKAGES) for name in packaging.FUNCTIONS]
            megabytes = [packaging.sizes(build.result())[0] / 1e6 for build in builds]
            step.update(", ".join(f"{n} {mb:.1f} MB" for n, mb in zip(packaging.FUNCTIONS, megabytes, strict=True)))

    def install_provider() -> None:
        with progress.step("Terraform provider"):
            Terraform(directory / "terraform").init()

    pool = ThreadPoolExecutor(4)
    try:
        server, served = pool.submit(start_postgres), pool.submit(start_emulator)
        others = [pool.submit(build_packages), pool.submit(install_provider)]
        every: list[Future[Any]] = [server, served, *others]
        wait(every)
        endpoint, pid = served.result()
        database = postgres.database_url(server.result().url, DATABASE)
        outputs = saved.stack.outputs if saved else {}
        stack = Stack(endpoint, REGION, database, LOG_STREAM_SOURCE, pid, server.result().pid, outputs)
        begun = replace(saved or _Saved(stack), stack=stack)
        _save(begun, directory)
        for other in others:
            other.result()
    except (emulator.EmulatorError, packaging.PackagingError) as error:
        raise StackError(str(error)) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # an interrupt must not wait for it
    return begun


def make_roles(stack: Stack) -> None:
    """Make or repair the roles with which functions and people sign in, by the statements of the roles function.

    Their maker owns the database and is no superuser, as on Aurora, so that a right that it or they lack shows here.
    """
    try:
        with psycopg.connect(stack.database_url, autocommit=True) as connection:
            with suppress(psycopg.errors.DuplicateObject):
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB").format(_OWNER))
            connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(DATABASE), _OWNER))
        with psycopg.connect(stack.url_of(OWNER)) as connection:
            for statement in roles.statements():
                connection.execute(statement.encode())
    except psycopg.Error as error:
        raise StackError(f"The roles could not be made in the stack's Postgres: {error}") from error


def _apply(saved: _Saved, progress: Progress, directory: Path, options: Callable[[Stack], dict[str, str]]) -> _Saved:
    """Run Terraform, unless the last apply had the same inputs."""
    stack = saved.stack
    with progress.step("Infrastructure") as step:
        variables = terraform_variables(stack) | options(stack)
        if saved.applied == (digest := _digest(variables)):
            step.update("unchanged")
            return saved
        auth0 = json.loads(variables["auth0"])
        for name in ("log_stream_source_name", "event_stream_source_name"):
            if name in auth0:
                _offer_event_source(stack, auth0[name])
        _save(replace(saved, applying=True), directory)
        terraform = Terraform(
            directory / "terraform",
            stack.endpoint,
            stack.region,
            variables,
            CONFIGURATION / "environments" / "local.tfvars",
            interrupted=lambda: step.update("interrupted; Terraform has ten seconds to finish"),
        )
        try:
            terraform.apply(lambda done, total, _what: step.update(f"{done} of {total} resources"))
        except TerraformError:
            # Terraform ended by itself, so its state is complete, and the next run can continue.
            _save(replace(saved, applied=""), directory)
            raise
        finished = _Saved(replace(stack, outputs=terraform.outputs()), applied=digest)
        _save(finished, directory)
        return finished


def terraform_variables(stack: Stack) -> dict[str, str]:
    """Return the Terraform variables beside environments/local.tfvars."""
    return {
        "auth0": json.dumps({"log_stream_source_name": stack.log_stream_source}),
        "database_url": stack.url_of("auth0_writer"),
        "migration_database_url": stack.url_of("auth0_migrator"),
        "package_dir": str(PACKAGES),
        "lambda": json.dumps({"architecture": "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"}),
    }


def _offer_event_source(stack: Stack, source: str) -> None:
    """Offer the account an event source, as Auth0 does for a new stream. It may exist already."""
    events = stack.client("events")
    try:
        events.create_partner_event_source(Name=source, Account=ACCOUNT)
    except events.exceptions.ResourceAlreadyExistsException:
        return
    except (BotoCoreError, ClientError) as error:
        raise StackError(f"The emulator at {stack.endpoint} did not take the partner event source: {error}") from error


def _migrate(stack: Stack, progress: Progress) -> None:
    """Bring the schema to its newest revision, through the deployed function as on AWS."""
    with progress.step("Migration") as step:
        name = stack.outputs["function_names"]["migrate"]
        try:
            answer = stack.client("lambda").invoke(FunctionName=name, Payload=json.dumps({"revision": "head"}))
        except (BotoCoreError, ClientError) as error:
            raise StackError(f"The migration's function {name} could not be invoked: {error}") from error
        said = answer["Payload"].read().decode()
        migrated = None if "FunctionError" in answer else json.loads(said)
        if not isinstance(migrated, dict) or not migrated.get("to"):
            raise StackError(f"The migration by the function {name} failed. It answered:\n{said}")
        step.update(migrated["to"] if migrated["from"] == migrated["to"] else f"{migrated['from']} → {migrated['to']}")


def _digest(variables: dict[str, str]) -> str:
    """Return a digest of all inputs of an apply."""
    digest = hashlib.sha256(json.dumps(variables, sort_keys=True).encode())
    configuration = [path for path in CONFIGURATION.rglob("*") if path.suffix in (".tf", ".tfvars", ".json")]
    for path in sorted([*configuration, *PACKAGES.glob("*.zip")]):
        digest.update(str(path).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


# --- an earlier stack ---------------------------------------------------------------------------------------------


def _resumable(saved: _Saved, directory: Path) -> bool:
    """Return whether the saved stack is usable: its emulator answers, and no apply in it was interrupted."""
    return not saved.applying and _answers(saved.stack, directory)


def _answers(stack: Stack, directory: Path) -> bool:
    return stack.emulator_pid in _emulators(directory) and emulator.healthy(stack.endpoint)


def _forget(directory: Path) -> None:
    """End emulators of this clone, and delete the state of their resources."""
    (directory / "stack.json").unlink(missing_ok=True)  # first: an emulator that stops from here on has not died
    for pid in _emulators(directory):
        emulator.stop(pid)
    _end_workers(directory)
    Terraform(directory / "terraform").discard()


def _emulators(directory: Path) -> list[int]:
    """Return the pids of this clone's emulators by command line: a saved pid may be another program's."""
    mine = str((directory / "emulator").resolve())
    return [
        process.pid for process, command in _python_processes() if "devstack.emulator" in command and mine in command
    ]


def _end_workers(directory: Path) -> None:
    """End Lambda workers that outlived a killed emulator: Python programs from below its directory."""
    mine = f"{(directory / 'emulator').resolve()}/"
    workers = [process for process, command in _python_processes() if any(a.startswith(mine) for a in command)]
    kill(workers)


def _python_processes() -> Iterator[tuple[psutil.Process, list[str]]]:
    for process in psutil.process_iter(["name", "cmdline"]):
        if (process.info["name"] or "").lower().startswith("python") and process.info["cmdline"]:
            yield process, process.info["cmdline"]


def _port_of(saved: _Saved | None) -> int | None:
    """Return the port of Postgres in the functions' settings, to start it there again."""
    return urlsplit(saved.stack.database_url).port if saved else None


def _save(saved: _Saved, directory: Path) -> None:
    unfinished = directory / "stack.json.new"
    unfinished.write_text(json.dumps(asdict(saved), indent=2))
    unfinished.replace(directory / "stack.json")


def _load(directory: Path) -> _Saved | None:
    try:
        saved = json.loads((directory / "stack.json").read_text())
        return _Saved(**{**saved, "stack": Stack(**saved["stack"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None  # never written, incomplete, or of another version: start afresh


def _lock(directory: Path) -> AbstractContextManager[None]:
    busy = f"Another command is starting or stopping the stack of this clone ({directory}). Wait until it is done."
    return exclusive(directory / "lock", StackError(busy))
