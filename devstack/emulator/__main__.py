"""Run the patched emulator in the foreground until SIGTERM or SIGINT.

Environment: GATEWAY_PORT (4566), BIND_HOST (127.0.0.1), MINISTACK_REGION (us-east-1), LOG_LEVEL (INFO), and any other
setting of MiniStack. ``--dir`` or AUTH0_SYNC_EMULATOR_DIR names the directory for all its files. Delays, as on AWS:
AUTH0_SYNC_EMULATOR_IAM_SECONDS (10) until a policy takes effect, AUTH0_SYNC_EMULATOR_INTERFACE_SECONDS (25) until the
network interfaces of a deleted function are removed.
"""

import argparse
import asyncio
import logging
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

from uvicorn import Config, Server

from devstack.emulator.connection import Connection

KEEP_ALIVE_SECONDS = 3600
"""Seconds for which an idle connection stays open: long, so that a client does not send on one that is about to end."""


def _prepare(directory: Path) -> None:
    """Set the variables that MiniStack reads when it is imported."""
    shutil.rmtree(directory / "tmp", ignore_errors=True)  # files of a killed emulator
    for name in ("tmp", "s3", "state"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(directory / "tmp")
    os.environ.setdefault("S3_DATA_DIR", str(directory / "s3"))
    os.environ.setdefault("STATE_DIR", str(directory / "state"))
    os.environ.setdefault("GATEWAY_PORT", "4566")
    os.environ.setdefault("BIND_HOST", "127.0.0.1")
    os.environ.setdefault("MINISTACK_REGION", "us-east-1")
    # Unused listeners on fixed ports.
    os.environ["IOT_MTLS_ENABLED"] = os.environ["SFTP_ENABLED"] = "0"
    # MiniStack removes all containers with its label: keep it off the user's Docker daemon.
    os.environ["DOCKER_HOST"] = f"unix://{directory}/no-docker.sock"
    # It was for finding this package; a function's worker must not import from there.
    os.environ.pop("PYTHONPATH", None)


def configuration(app: Any) -> Config:
    """Return how Uvicorn serves an ASGI app, on the address that the environment names."""
    return Config(
        app,
        host=os.environ["BIND_HOST"],
        port=int(os.environ["GATEWAY_PORT"]),
        http=Connection,
        ws="none",
        lifespan="on",  # a start that fails is an error
        reset_contextvars=True,  # else a request after a large one on its connection has the variables of that one
        server_header=False,
        date_header=False,  # MiniStack sets it
        access_log=False,
        log_config=None,
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
    )


async def _serve() -> None:
    from ministack.app import app

    for number in (signal.SIGTERM, signal.SIGINT):
        # Uvicorn stops at a signal, and sends it again once it has stopped: the process still has work to do then.
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)
    await Server(configuration(app)).serve()


def _shut_down() -> None:
    from ministack.core import lambda_runtime

    from devstack.emulator.aurora import cluster
    from devstack.emulator.patches import firehose_buffering

    firehose_buffering.flush_all()
    lambda_runtime.reset()
    cluster.stop_all()


def main() -> None:
    """Apply every patch, serve, and leave no process behind."""
    parser = argparse.ArgumentParser(prog="python -m devstack.emulator", description=__doc__)
    default = os.environ.get("AUTH0_SYNC_EMULATOR_DIR")
    parser.add_argument("--dir", type=Path, default=default, required=default is None, help="holds all it writes")
    directory = parser.parse_args().dir.resolve()
    _prepare(directory)

    from devstack.emulator import log_file, patches
    from devstack.emulator.aurora import cluster

    patches.apply_all()
    cluster.configure(directory / "aurora")
    asyncio.run(_run(directory / log_file.NAME))


async def _run(log: Path) -> None:
    from devstack.emulator import log_file

    rotating = asyncio.create_task(log_file.keep_small(log))
    await _serve()
    rotating.cancel()
    await asyncio.to_thread(_shut_down)
    logging.shutdown()
    # asyncio.run would now wait for the pool's threads, as long as running invocations take.
    os._exit(0)


if __name__ == "__main__":
    main()
