"""Messages when a part of the stack dies under a command, and when somebody interrupts one, with real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from devstack import stack
from tests.emulator.support import wait_for

pytestmark = [pytest.mark.emulator, pytest.mark.postgres]

PROGRAM = """
import sys, time
from pathlib import Path
from devstack import StackError, postgres, stack
from devstack.emulator import process
from devstack.trouble import reported

directory = Path(sys.argv[1])
server, emulator = postgres.start(directory / "postgres"), process.start(directory / "emulator")
up = stack.Stack(emulator.endpoint, "us-east-1", server.url, "source", emulator.pid, server.pid, {})
stack._save(stack._Saved(up), directory)
try:
    with reported(directory, "make demo"):
        print("ready", flush=True)
        WORK
except StackError as error:
    sys.exit(f"error: {error}")
"""
WAITING = "time.sleep(60)"
IN_A_QUERY = "import psycopg; psycopg.connect(server.url).execute('SELECT pg_sleep(60)')"
IN_A_REQUEST = (
    "up.client('sqs').receive_message(QueueUrl=up.client('sqs').create_queue(QueueName='q')['QueueUrl'], "
    "WaitTimeSeconds=20)"
)
BESIDE_BUSY_THREADS = """import threading
        def compute():
            while True:
                sum(range(1000))
        for _ in range(24):
            threading.Thread(target=compute, daemon=True).start()
        time.sleep(60)"""
SECONDS = 5


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    stack.down(tmp_path)


def start(directory: Path, work: str) -> subprocess.Popen[str]:
    program = PROGRAM.replace("WORK", work)
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(directory)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()
    time.sleep(1)  # until it waits, and has seen both parts
    return process


def said_by(process: subprocess.Popen[str], code: int) -> str:
    began = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert time.monotonic() - began < SECONDS
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("work", [WAITING, IN_A_QUERY])
def test_postgres_that_dies_is_named_within_seconds(directory: Path, work: str) -> None:
    process = start(directory, work)
    pids = stack.parts(directory)
    os.kill(pids["Postgres"], signal.SIGKILL)
    said = said_by(process, 1)
    assert f"The stack's Postgres (process {pids['Postgres']}) has died." in said
    assert "server.log" in said
    assert "Start it again: make demo" in said
    assert (
        f"Still running: AWS emulator (process {pids['AWS emulator']}). Stop and delete everything: make down" in said
    )


@pytest.mark.parametrize("work", [WAITING, IN_A_REQUEST])
def test_the_emulator_that_dies_is_named_within_seconds(directory: Path, work: str) -> None:
    process = start(directory, work)
    os.kill(stack.parts(directory)["AWS emulator"], signal.SIGKILL)
    said = said_by(process, 1)
    assert "The stack's AWS emulator" in said
    assert "emulator.log" in said
    assert "The resources in the emulator are gone with it." in said
    assert "Still running: Postgres" in said


def test_stack_stopped_by_another_command_is_no_traceback(directory: Path) -> None:
    process = start(directory, IN_A_REQUEST)
    stack.down(directory)
    assert "Another command has stopped the stack. Start it again: make demo" in said_by(process, 1)


@pytest.mark.parametrize("work", [WAITING, IN_A_QUERY, IN_A_REQUEST, BESIDE_BUSY_THREADS])
def test_interrupt_names_the_running_parts(directory: Path, work: str) -> None:
    process = start(directory, work)
    process.send_signal(signal.SIGINT)
    said = said_by(process, 130)
    for name, pid in stack.parts(directory).items():
        assert f"{name} (process {pid})" in said
        assert psutil.pid_exists(pid)
    assert "make down" in said


SETTING_UP = """
import sys
from pathlib import Path
import pipeline.cli  # first: it adds the commands of the stack
from devstack.cli.demo import work
from pipeline.errors import CommandError
try:
    work(Path(sys.argv[1]), 20, 2, 0, None)
except CommandError as error:
    sys.exit(f"error: {error}")
"""


def set_up(directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SETTING_UP, str(directory)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def applying(directory: Path) -> bool:
    mine = str(directory)
    for process in psutil.process_iter(["name", "cmdline"]):
        command = process.info["cmdline"] or []
        if "terraform" in (process.info["name"] or "") and "apply" in command and any(mine in one for one in command):
            return True
    return False


def wait_until_applying(process: subprocess.Popen[str], directory: Path) -> None:
    """Wait until Terraform applies; a busy machine may need minutes for the functions' packages before."""

    def begun() -> bool:
        assert process.poll() is None, process.communicate()
        return applying(directory)

    wait_for(begun, 400)


@pytest.mark.stack
def test_setting_up_may_be_interrupted_or_lose_a_part_at_any_time(directory: Path) -> None:
    process = set_up(directory)
    wait_for(lambda: stack.running(directory), 60)
    process.send_signal(signal.SIGINT)
    said = said_by(process, 130)
    assert "Interrupted." in said
    assert "make down" in said

    process = set_up(directory)  # which clears what the interrupted one has left
    wait_until_applying(process, directory)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)  # Terraform has ten seconds
    assert process.returncode == 130
    assert "Still running: Postgres" in said
    assert not applying(directory)

    process = set_up(directory)
    wait_until_applying(process, directory)
    time.sleep(2)  # until the command watches the emulator
    os.kill(stack.parts(directory)["AWS emulator"], signal.SIGKILL)
    said = said_by(process, 1)
    assert "The stack's AWS emulator" in said
    assert not applying(directory)
