"""Start and stop the emulator as a process of its own, which outlives the caller."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil

from devstack.emulator import log_file
from devstack.processes import kill

START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0
LOG_TAIL_LINES = 25

# Variables that the emulator, and through it every function's worker, inherits. No other variable of the caller's shell
# may reach a function: an exported DATABASE_URL or AWS_PROFILE would change the tests.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "SYSTEMROOT", "LD_LIBRARY_PATH", "POSTGRES_MAJOR")
SETTINGS = "AUTH0_SYNC_EMULATOR_"
"""Prefix of the emulator's own settings, which it inherits, too."""


class EmulatorError(RuntimeError):
    """The emulator did not start; the message holds the end of its log."""


@dataclass(frozen=True)
class Emulator:
    """A running emulator: its address, its process id, its log, and the CA of its Aurora clusters' certificates.

    The first cluster creates the CA's file.
    """

    endpoint: str
    port: int
    pid: int
    log: Path
    ca: Path


def start(directory: Path, *, port: int | None = None, region: str = "us-east-1") -> Emulator:
    """Start the emulator and return once it answers.

    It writes below ``directory`` only. Without ``port`` it takes a free one. The process is detached from the caller's
    session. Raises ``EmulatorError`` if it ends, or does not answer within a minute.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    port = port or _free_port()
    endpoint = f"http://127.0.0.1:{port}"
    if _answers(port):
        raise EmulatorError(f"Port {port} is already in use: stop the program on it, or choose another port.")
    log = directory / log_file.NAME
    for path in log_file.files(log):
        path.unlink()
    inherited = {name: value for name, value in os.environ.items() if name in INHERITED or name.startswith(SETTINGS)}
    environment = inherited | {
        "AUTH": "true",  # policies count, and so do signatures
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": region,
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "devstack.emulator", "--dir", str(directory)]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - a fixed command
            command, cwd=directory, env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    deadline = time.monotonic() + START_TIMEOUT
    while not healthy(endpoint):
        if process.poll() is not None:
            raise EmulatorError(f"The emulator ended with exit code {process.returncode} at start.\n{_tail(log)}")
        if time.monotonic() > deadline:
            stop(process.pid)
            raise EmulatorError(f"The emulator did not answer at {endpoint} in {START_TIMEOUT:.0f} s.\n{_tail(log)}")
        time.sleep(0.05)
    # The process outlives this object on purpose; without this its destructor would warn about that.
    process.returncode = 0
    return Emulator(endpoint=endpoint, port=port, pid=process.pid, log=log, ca=directory / "aurora" / "ca.pem")


def stop(pid: int) -> None:
    """End the emulator and its child processes; do nothing if ``pid`` has ended or belongs to another program."""
    try:
        emulator = psutil.Process(pid)
        if "devstack.emulator" not in emulator.cmdline():
            return
        family = [emulator, *emulator.children(recursive=True)]
        emulator.terminate()
    except psutil.NoSuchProcess:
        return
    _, alive = psutil.wait_procs(family, timeout=STOP_TIMEOUT)
    kill(alive)


def healthy(endpoint: str) -> bool:
    """Return whether the emulator answers at ``endpoint``."""
    try:
        with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=2) as response:  # noqa: S310 - http only
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    return "\n".join([f"End of {log}:", *lines])
