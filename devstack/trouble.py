"""Report a part of the stack that has died, or after an interrupt the running parts, with the command to type."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NoReturn

from devstack import StackError, stack
from devstack.processes import alive
from devstack.terraform import end_leftovers

POLL_SECONDS: Final = 0.5
EXIT_SECONDS: Final = 0.2
"""Seconds that a part may take from closing its connections to its end."""
TURN_SECONDS: Final = 1e-4
LOG_LINES: Final = 5
INTERRUPTED: Final = 130
"""Exit code of a program that an interrupt has ended, as shells have it."""


class Died(StackError):
    """A part of the stack has died; the message names it, its log, and the command that starts it again."""


@contextmanager
def reported(directory: Path, command: str) -> Iterator[None]:
    """Run the body of a command on the stack in ``directory``; ``command`` starts it again.

    Raises `Died` within seconds of the death of a part, even while the body waits. An interrupt ends the
    program, with a message: its threads may still be starting servers or building packages.
    """
    watch = _Watch(directory)
    try:
        try:
            with watch:
                yield
        except Exception as error:
            time.sleep(EXIT_SECONDS)  # a part that dies closes its connections, and so causes the error, before its end
            if said := watch.said(command):
                raise Died(said) from error
            raise
        except KeyboardInterrupt:
            if watch.died:
                raise Died(watch.said(command)) from None
            raise
    except KeyboardInterrupt:
        _end(directory, command)


class _Watch:
    """A thread that interrupts the main one when a part of the stack dies."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: set[int] = set()
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.died = False

    def __enter__(self) -> None:
        # Not SIGINT, which a program in the background of a script ignores.
        self._handler = signal.signal(signal.SIGUSR1, signal.default_int_handler)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        while True:
            with suppress(KeyboardInterrupt):  # the thread's own may still be under way
                with self._lock:
                    self._ended.set()
                self._thread.join()
                break
        signal.signal(signal.SIGUSR1, self._handler)

    def said(self, command: str) -> str:
        """Return a message that names the dead parts and the command to type; empty if all run."""
        parts = stack.parts(self._directory)
        if self._seen and not parts:
            return f"Another command has stopped the stack. Start it again: {command}"
        dead = {name: pid for name, pid in parts.items() if not alive(pid)}
        if not dead:
            return ""
        lines = []
        for name, pid in dead.items():
            log = stack.log_of(name, self._directory)
            lines.append(f"The stack's {name} (process {pid}) has died. The end of its log, {log}:")
            lines += [f"  {line}" for line in _tail(log)]
        if stack.EMULATOR in dead:
            lines.append("The resources in the emulator are gone with it.")
        return "\n".join([*lines, f"Start it again: {command}", *_what_runs(self._directory)])

    def _work(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            pids = set(stack.parts(self._directory).values())
            running = {pid for pid in pids if alive(pid)}
            self._seen |= running
            if not (pids - running) & self._seen:
                continue  # an earlier stack's part, never seen alive; this command may start it again
            end_leftovers(self._directory / "terraform")  # it would ask an emulator that is gone for minutes
            with self._lock:
                if not self._ended.is_set():
                    self.died = True
                    # A signal ends any wait of the main thread.
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            return


def _what_runs(directory: Path) -> list[str]:
    """Return lines that name the running parts and the command that stops them."""
    running = stack.running(directory)
    if not running:
        return ["Nothing of the stack is running."]
    parts = ", ".join(f"{name} (process {pid})" for name, pid in running)
    return [f"Still running: {parts}. Stop and delete everything: make down"]


def _end(directory: Path, command: str) -> NoReturn:
    """Print the running parts, and end the program without waiting for its threads."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # people press it twice
    # Other threads go on until the end, and each look at a process gives them a turn: make their turns short.
    sys.setswitchinterval(TURN_SECONDS)
    end_leftovers(directory / "terraform")
    print("\n".join(["\nInterrupted.", *_what_runs(directory), f"Go on: {command}"]), file=sys.stderr)  # noqa: T201 - last words
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def _tail(log: Path) -> list[str]:
    try:
        return log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return []
