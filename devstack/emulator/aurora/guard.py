"""End the clusters' servers after the emulator's end, even if it was killed.

Run as ``python -m devstack.emulator.aurora.guard``, it reads ``+ DIRECTORY`` and ``- DIRECTORY`` line by line;
at the end of the input, which is the end of the emulator, it stops and deletes the remaining servers.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


class Guard:
    """The guard as the emulator uses it. The process starts with the first directory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def watch(self, directory: Path) -> None:
        """Stop the server of ``directory`` when this process ends."""
        self._tell("+", directory)

    def release(self, directory: Path) -> None:
        """Forget the server of ``directory``, which was stopped."""
        self._tell("-", directory)

    def _tell(self, sign: str, directory: Path) -> None:
        with self._lock:
            if self._process is None:
                environment = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(ROOT)}
                self._process = subprocess.Popen(  # noqa: S603 - a fixed command
                    [sys.executable, "-m", __name__],
                    cwd=ROOT,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    text=True,
                    start_new_session=True,  # a signal to the emulator's group must not end this process
                )
            if self._process.stdin is None:
                raise AssertionError("stdin is a pipe")
            self._process.stdin.write(f"{sign} {json.dumps(str(directory))}\n")
            self._process.stdin.flush()


def main() -> None:
    """Watch until the end of standard input."""
    watched: dict[str, None] = {}
    for line in sys.stdin:
        sign, directory = line[0], json.loads(line[2:])
        if sign == "+":
            watched[directory] = None
        else:
            watched.pop(directory, None)
    if watched:
        from devstack import postgres  # needs more memory than the rest of this process

        for directory in watched:
            postgres.stop(Path(directory), delete=True)


if __name__ == "__main__":
    main()
