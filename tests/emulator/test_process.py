import signal
import socket
from pathlib import Path

import psutil
import pytest

from devstack.emulator import process

from .support import Aws, wait_for

pytestmark = pytest.mark.emulator


def with_worker(emulator: process.Emulator) -> list[psutil.Process]:
    """Invoke a function, so that the emulator has a worker; the workers."""
    aws = Aws(emulator)
    aws.function(FunctionName="idle")
    assert aws.lambda_.invoke(FunctionName="idle")["Payload"].read() == b"1"
    workers = psutil.Process(emulator.pid).children(recursive=True)
    assert workers
    return workers


def test_starts_on_loopback_inside_its_directory_and_stops_without_a_trace(tmp_path: Path) -> None:
    emulator = process.start(tmp_path / "emulator")
    workers = with_worker(emulator)
    assert process.healthy(emulator.endpoint)
    listening = [c.laddr for c in psutil.Process(emulator.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert listening == [("127.0.0.1", emulator.port)]
    assert emulator.log.parent == tmp_path / "emulator"
    assert list((tmp_path / "emulator" / "tmp").iterdir())  # the worker's directory

    process.stop(emulator.pid)

    assert not process.healthy(emulator.endpoint)
    assert not psutil.pid_exists(emulator.pid)
    assert not any(worker.is_running() for worker in workers)
    process.stop(emulator.pid)  # nothing happens


def test_killed_emulator_leaves_no_worker(tmp_path: Path) -> None:
    emulator = process.start(tmp_path)
    workers = with_worker(emulator)
    psutil.Process(emulator.pid).send_signal(signal.SIGKILL)
    wait_for(lambda: not any(worker.is_running() for worker in workers))


def test_port_in_use_is_a_readable_error(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(process.EmulatorError, match="already in use"):
            process.start(tmp_path, port=other.getsockname()[1])


def test_failed_start_shows_the_log(tmp_path: Path) -> None:
    (tmp_path / "tmp").write_text("not a directory")
    with pytest.raises(process.EmulatorError, match=r"exit code 1 at start\.\nEnd of .*emulator\.log"):
        process.start(tmp_path)


def test_other_processes_are_not_stopped() -> None:
    own = psutil.Process()
    process.stop(own.pid)
    assert own.is_running()
