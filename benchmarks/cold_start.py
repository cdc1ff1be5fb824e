"""Cold start of each function: CPU time of a process from the interpreter's start to its first batch, in parts.

Each process runs a function's package as Lambda does: from source, as packages have no bytecode, and without another
package. Postgres is the embedded server; a stub on loopback answers in place of AWS and Auth0.
"""

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import stub
from benchmarks.records import Users
from devstack.traffic import DEFAULT_SOURCE, eventbridge
from pipeline import packaging
from pipeline.functions.migrate import migrate
from pipeline.settings import Database

PACKAGES = packaging.ROOT / "build" / "packages" / "host"
RECORDS = 10
ARN = "arn:aws:service:us-east-1:000000000000:name"

CHILD = Path(__file__).with_name("cold_start_child.py")
"""The program of the measured process; it imports nothing that the function does not import."""

COMMAND = {
    "command": "import pipeline.cli",
    "command_help": "from pipeline.cli import app; app(['--help'], standalone_mode=False)",
    "command_list": "from pipeline.cli import app; app(['ask', '--list'], standalone_mode=False)",
}


@dataclass(frozen=True)
class Start:
    """A function's module, settings and event."""

    module: str
    start: str
    """The call by which the module makes its clients, while Lambda starts it."""
    environment: Mapping[str, str]
    event: Any = field(default_factory=dict)


def run(url: str, rounds: int) -> dict[str, Any]:
    """Return the median milliseconds of CPU of each function by parts, and of the command's imports."""
    migrate(Database(url=url))
    with stub.running() as endpoint, tempfile.TemporaryDirectory(prefix="cold-start-") as directory:
        starts = _starts(url, endpoint)
        packages = {name: _unpacked(name, Path(directory)) for name in starts}
        found: dict[str, list[Any]] = {name: [] for name in starts}
        for _ in range(rounds):
            for name, start in starts.items():
                found[name].append(_measured(start, packages[name], endpoint))
    functions = {name: _medians(measured) for name, measured in found.items()}
    return {"functions": functions, "command": {name: _command(code, rounds) for name, code in COMMAND.items()}}


def _starts(url: str, endpoint: str) -> dict[str, Start]:
    records = Users(2 * RECORDS).batch(RECORDS)
    signals = [
        {"messageId": f"m-{number}", "attributes": {"SentTimestamp": "1790000000000"}, "body": _login(number)}
        for number in range(RECORDS)
    ]
    sync = {"EVENT_SOURCES": DEFAULT_SOURCE}
    auth0 = {"AUTH0_DOMAIN": "acme.eu.auth0.com", "AUTH0_BASE_URL": endpoint, "AUTH0_CLIENT_SECRET_ARN": ARN}
    queues = {"REFRESH_QUEUE_URL": f"{endpoint}/refresh", "SINK_QUEUE_URLS": f"{endpoint}/postgres"}
    questions = {"WATCH_QUESTIONS": '{"mfa_weakened": {}}', "WATCH_WINDOW_DAYS": "2"}
    athena = {"ATHENA_DATABASE": "auth0", "ATHENA_WORKGROUP": "auth0", "MEMORY_TABLE": "told", "TOPIC_ARN": ARN}
    archive = {"ARCHIVE_BUCKET": "archive", "ARCHIVE_PREFIX": "logs/", "ARCHIVE_ERROR_PREFIX": "errors/"}
    cluster = {"CLUSTER_ARN": ARN, "PGDATABASE": "auth0", "MASTER_SECRET_ARN": ARN, "QUERY_SECRET_ARN": ARN}
    # On RDS the functions for Postgres also sign a token to connect with.
    token = "from pipeline.sinks.iam import token; from pipeline.settings import Database; "
    token += "token(Database(host='h', name='n', user='u', region='us-east-1'))"
    named = {"DEPLOYMENT": "auth0-sync", "ENV": "production"}
    postgres, dynamodb = {"SINK": "postgres", "DATABASE_URL": url}, {"SINK": "dynamodb", "USERS_TABLE": "u"}
    return {
        "sync-postgres": Start("sync", f"sync(); {token}", sync | postgres, {"Records": records}),
        "sync-dynamodb": Start("sync", "sync()", sync | dynamodb, {"Records": records}),
        "refresh": Start("refresh", "refresh()", auth0 | queues | {"REFRESH_RATE": "1000"}, {"Records": signals}),
        "migrate": Start("migrate", token, {"DATABASE_URL": url}, {"revision": "head"}),
        "roles": Start("roles", "data_api()", cluster),
        "watch": Start("watch", "clients()", questions | athena | named),
        "manifest": Start("manifest", "clients()", archive | named | {"MANIFEST_KEY_ARN": ARN}),
    }


def _login(number: int) -> str:
    data = {"type": "s", "date": "2026-09-21T14:13:20.000Z", "user_id": f"auth0|{number}"}
    detail = {"log_id": f"900{number}", "data": data}
    return json.dumps(eventbridge(detail, event_id=str(number), time="2026-09-21T14:13:20Z"))


def _unpacked(name: str, directory: Path) -> Path:
    target = directory / name
    with zipfile.ZipFile(packaging.build(name, "host", PACKAGES)) as package:
        package.extractall(target)
    return target


def _measured(start: Start, package: Path, endpoint: str) -> Any:
    """Return the figures that the process prints: milliseconds by part and by imported package."""
    lambda_ = {"AWS_LAMBDA_FUNCTION_NAME": "measured", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    credentials = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_SESSION_TOKEN": "x"}
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "AWS_ENDPOINT_URL": endpoint}
    environment |= {**lambda_, **credentials, **start.environment}
    # -I and -S: only the standard library and the package. -B: Lambda cannot keep bytecode either.
    command = [sys.executable, "-I", "-S", "-B", str(CHILD), str(package)]
    command += [f"pipeline.functions.{start.module}", start.start]
    done = subprocess.run(
        command, env=environment, input=json.dumps(start.event), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{start.module} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _medians(measured: Sequence[Any]) -> dict[str, Any]:
    parts = {name: _median([one["parts"][name] for one in measured]) for name in measured[0]["parts"]}
    packages = {name for one in measured for name in one["imports"]}
    imports = {name: _median([one["imports"].get(name, 0) for one in measured]) for name in packages}
    ordered = dict(sorted(imports.items(), key=lambda item: -item[1]))
    total = _median([one["total"] for one in measured])
    return {"cpu_ms": total, "parts": parts, "imports": ordered, "modules": measured[0]["modules"]}


def _command(code: str, rounds: int) -> float:
    timed = f"{code}; import time; print(); print(time.process_time() * 1000)"
    taken = []
    for _ in range(rounds):
        done = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True)
        taken.append(float(done.stdout.split()[-1]))
    return _median(taken)


def _median(values: Sequence[float]) -> float:
    return round(median(values), 1)


def lines(figures: Mapping[str, Any]) -> list[str]:
    """Return the figures as text: a line for each function, and one of its imports."""
    found = []
    for name, one in figures["functions"].items():
        parts = ", ".join(f"{part} {value:.0f}" for part, value in one["parts"].items())
        largest = ", ".join(f"{package} {value:.0f}" for package, value in list(one["imports"].items())[:7])
        found.append(f"cold start of {name}: {one['cpu_ms']:.0f} ms of CPU ({parts}); {one['modules']} modules")
        found.append(f"{'':>14}imports: {largest}")
    return [*found, f"command, ms of CPU: {figures['command']}"]
