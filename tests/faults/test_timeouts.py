"""A function that is killed when its time is up: after it has stored the batch, and before it says so."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.faults.conftest import CREDENTIALS, Items
from tests.faults.support import NEW, OLD, BreakableServer, FlakyDynamoDB, names, running, updates
from tests.invoking import SOURCES, Function
from tests.strategies import Json, records

KILLED = """
import json, sys, time
from pipeline.functions import sync

def hang(*_):
    print("STORED", flush=True)
    time.sleep(60)

sync.summarize = hang
sync.handler(json.load(sys.stdin), None)
"""
WHOLE = "import json, sys; from pipeline.functions import sync; sync.handler(json.load(sys.stdin), None)"
ROOT = Path(__file__).parents[2]


def process(program: str, events: list[Json], **env: str) -> subprocess.Popen[str]:
    """Return the function in a process of its own, with a batch to work on."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    started = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment | env,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert started.stdin
    started.stdin.write(json.dumps({"Records": records(*events)}))
    started.stdin.close()
    return started


def kill(started: subprocess.Popen[str]) -> None:
    assert started.stdout
    started.kill()
    started.wait(10)
    started.stdout.close()


def counts(function: Function) -> dict[str, int]:
    line = function.logged("batch")[-1]
    return {name: line[name] for name in ("applied", "duplicate", "stale", "retried", "poison") if line[name]}


def kill_once_stored(events: list[Json], **env: str) -> None:
    started = process(KILLED, events, **env)
    assert started.stdout
    assert started.stdout.readline() == "STORED\n"
    kill(started)


def test_what_postgres_has_is_a_duplicate(server: BreakableServer, function: Function) -> None:
    kill_once_stored(updates(NEW), SINK="postgres", DATABASE_URL=server.url, EVENT_SOURCES=SOURCES)
    before = server.execute("SELECT * FROM auth0.users ORDER BY user_id")
    assert function(*updates(NEW)) == []
    assert counts(function) == {"duplicate": 20}
    assert server.execute("SELECT * FROM auth0.users ORDER BY user_id") == before


def test_what_dynamodb_has_is_a_duplicate(proxy: FlakyDynamoDB, items: Items, dynamodb_function: Function) -> None:
    env = {"SINK": "dynamodb", "USERS_TABLE": items.table, "AWS_ENDPOINT_URL": proxy.url}
    kill_once_stored(updates(NEW), **env, **CREDENTIALS, EVENT_SOURCES=SOURCES)
    before = items.client.scan(TableName=items.table)["Items"]
    assert dynamodb_function(*updates(NEW)) == []
    assert counts(dynamodb_function) == {"duplicate": 20}
    assert items.client.scan(TableName=items.table)["Items"] == before


def test_a_function_killed_while_postgres_works_leaves_all_or_nothing(
    server: BreakableServer, function: Function
) -> None:
    """Its statement goes on without it, and ends as it would have."""
    assert function(*updates(OLD)) == []
    with server.locked("a|0003") as other:
        started = process(WHOLE, updates(NEW), SINK="postgres", DATABASE_URL=server.url, EVENT_SOURCES=SOURCES)
        server.wait_for_blocked()
        kill(started)
        with running(lambda: function(*updates(NEW))) as again:
            server.wait_for_blocked(2)
            other.execute("COMMIT")
            assert again.result(10) == []
    assert server.names == names(NEW)
    assert counts(function) in ({"duplicate": 20}, {"applied": 20})
