"""The emulator's log has a limit, and loses nothing below it."""

import subprocess
import sys
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from devstack.emulator import log_file, process

from .support import Aws, refusals, wait_for

WRITER = """
import sys
from pathlib import Path
from devstack.emulator import log_file
for number in range(1000):
    print(number, file=sys.stderr if number % 2 else sys.stdout, flush=True)
    log_file.rotate(Path(sys.argv[1]), most=800)
"""


def write(log: Path) -> list[str]:
    with log.open("ab") as output:
        subprocess.run([sys.executable, "-c", WRITER, str(log)], stdout=output, stderr=output, check=True)
    return [line for path in log_file.files(log) for line in path.read_text().splitlines()]


def test_the_newest_lines_are_kept_in_their_order(tmp_path: Path) -> None:
    log = tmp_path / "emulator.log"
    lines = write(log)
    assert len(log_file.files(log)) == 1 + log_file.KEPT
    assert lines == [str(number) for number in range(1000 - len(lines), 1000)]
    assert 600 < len(lines) < 1000
    assert all(path.stat().st_size < 810 for path in log_file.files(log))


def test_another_file_or_a_terminal_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "emulator.log").write_text("of an emulator of before\n" * 100)
    command = [sys.executable, "-c", WRITER, str(tmp_path / "emulator.log")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 500
    assert [path.name for path in tmp_path.iterdir()] == ["emulator.log"]


@pytest.mark.emulator
def test_the_emulator_rotates_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH0_SYNC_EMULATOR_LOG_BYTES", "1000")
    emulator = process.start(tmp_path)
    try:
        client = Aws(emulator).client("sqs", Config(parameter_validation=False))

        def rotated() -> bool:
            with pytest.raises(ClientError):
                client.send_message(QueueUrl="x")  # each refusal is a line
            return len(log_file.files(emulator.log)) > 2

        wait_for(rotated, 30)
        assert len(refusals(emulator.log)) > 5
    finally:
        process.stop(emulator.pid)
    process.stop(process.start(tmp_path).pid)
    assert refusals(emulator.log) == []
