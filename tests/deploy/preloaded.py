"""Programs in Python that start in milliseconds: a process that has imported one forks itself for each call.

Most of the CPU of a short command goes into its imports. The AWS CLI's interpreter runs this file as well, so it needs
the standard library only.
"""

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CLIENT = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode()], [0, 1, 2])
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(16) or 1))
"""
"""A command that has the server run the call with its own arguments, directory, environment and files."""


@contextmanager
def installed(command: Path, python: Path, program: str, environment: dict[str, str]) -> Iterator[None]:
    """Write a command that calls the function `main` of a program, which `python` has imported once."""
    with tempfile.TemporaryDirectory() as short:  # an address has room for a hundred characters
        address, file = f"{short}/socket", Path(short, "program.py")
        file.write_text(program)
        call = [str(python), __file__, address, str(file)]
        with subprocess.Popen(call, env=environment, stdout=subprocess.PIPE) as server:
            try:
                assert server.stdout is not None
                assert server.stdout.readline() == b"ready\n"
                command.parent.mkdir(parents=True, exist_ok=True)
                command.write_text(CLIENT.format(python=python, address=address))
                command.chmod(0o755)
                yield
            finally:
                server.terminate()


def _serve(address: str, program: str) -> None:
    main = runpy.run_path(program)["main"]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        signal.signal(signal.SIGCHLD, lambda *_: os.waitpid(-1, os.WNOHANG))
        print("ready", flush=True)  # noqa: T201 - the answer to `installed`
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                connection.sendall(str(_called(connection, main)).encode())
                os._exit(0)
            connection.close()


def _called(connection: socket.socket, main: Callable[[], Any]) -> Any:
    """Run one call and return its exit code."""
    call, files, *_ = socket.recv_fds(connection, 1 << 16, 3)
    while more := connection.recv(1 << 16):
        call += more
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.argv, directory, environment = json.loads(call)
    os.chdir(directory)
    os.environ.update(environment)  # what the imports have set stays
    try:
        code = main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 - Python would do the same
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code or 0


if __name__ == "__main__":
    _serve(*sys.argv[1:])
