"""Run the patched emulator in the foreground until SIGTERM or SIGINT.

Environment: GATEWAY_PORT (4566), BIND_HOST (127.0.0.1), MINISTACK_REGION (us-east-1), LOG_LEVEL (INFO), and any other
setting of MiniStack. ``--dir`` or AUTH0_SYNC_EMULATOR_DIR names the directory that holds all it writes. Delays that AWS
has: AUTH0_SYNC_EMULATOR_IAM_SECONDS (10) until a policy takes effect, AUTH0_SYNC_EMULATOR_INTERFACE_SECONDS (25) until
the network interfaces of a deleted function are gone.
"""

import argparse
import asyncio
import logging
import os
import shutil
import signal
import tempfile
from pathlib import Path


def _prepare(directory: Path) -> None:
    """Settings that MiniStack reads when it is imported."""
    shutil.rmtree(directory / "tmp", ignore_errors=True)  # what a killed emulator left
    for name in ("tmp", "s3", "state"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(directory / "tmp")
    os.environ.setdefault("S3_DATA_DIR", str(directory / "s3"))
    os.environ.setdefault("STATE_DIR", str(directory / "state"))
    os.environ.setdefault("GATEWAY_PORT", "4566")
    os.environ.setdefault("BIND_HOST", "127.0.0.1")
    os.environ.setdefault("MINISTACK_REGION", "us-east-1")
    # Listeners on fixed ports that nothing here uses.
    os.environ["IOT_MTLS_ENABLED"] = os.environ["SFTP_ENABLED"] = "0"
    # MiniStack removes containers that carry its label, whoever started them: keep it off the user's Docker daemon.
    os.environ["DOCKER_HOST"] = f"unix://{directory}/no-docker.sock"
    # It served to find this package; a function's worker must not import from there.
    os.environ.pop("PYTHONPATH", None)


async def _serve() -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack.app import app

    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)

    async def stop() -> None:
        await stopping.wait()

    config = Config()
    config.bind = [f"{os.environ['BIND_HOST']}:{os.environ['GATEWAY_PORT']}"]
    # A connection for each request. On one that is used again, Hypercorn now and then does a request and gives no
    # answer, if it comes at once after the last one's; the client makes it again, and is told that what it creates
    # is there already.
    config.keep_alive_max_requests = 0
    config.graceful_timeout = 0.5
    config.loglevel = "WARNING"
    await serve(app, config, shutdown_trigger=stop)


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

    from devstack.emulator import patches
    from devstack.emulator.aurora import cluster

    patches.apply_all()
    cluster.configure(directory / "aurora")
    asyncio.run(_run())


async def _run() -> None:
    await _serve()
    await asyncio.to_thread(_shut_down)
    logging.shutdown()
    # asyncio.run would now wait for the pool's threads, for as long as a function that is being invoked takes.
    os._exit(0)


if __name__ == "__main__":
    main()
