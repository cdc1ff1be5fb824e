"""The command, the deployed functions and both stores: an export beside an event of one of its users."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from devstack import stack
from tests.emulator.support import wait_for
from tests.strategies import text, updated, user

pytestmark = [pytest.mark.stack, pytest.mark.emulator, pytest.mark.postgres, pytest.mark.usefixtures("leaves_no_user")]

USERS = 300
"""The emulator takes 20 ms for each in DynamoDB, and the function has 20 s."""
MOMENT = "2026-01-15T09:00:00.000Z"
"""The time of each user's last update."""
PREFIX = "auth0|backfilled-"


def backfill(running: stack.Stack, *arguments: str, code: int = 0) -> Any:
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "backfill", *arguments, "--json"]
    done = subprocess.run(
        command, env=os.environ | stack.environment(running), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    lines = [text(user(f"{PREFIX}{n}", MOMENT, name="export", user_metadata={"n": n})) for n in range(USERS)]
    file = tmp_path / "users.ndjson.gz"
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    return file


def test_an_export_is_loaded_by_the_deployed_functions(running: stack.Stack, export: Path) -> None:
    sqs, dynamodb = running.client("sqs"), running.client("dynamodb")
    table = running.outputs["users_table"]
    event = updated(user(f"{PREFIX}7", MOMENT, name="event"), date=MOMENT)
    event["source"] = stack.LOG_STREAM_SOURCE
    for sink in ("postgres", "dynamodb"):
        sqs.send_message(QueueUrl=running.outputs["queue_urls"][sink], MessageBody=text(event))
    report = backfill(running, "--from-file", str(export))
    for found in report["stores"].values():
        assert (found["rows"], found["missing_slices"], found["refused_users"]) == (USERS, 0, {})
        assert found["applied"] >= USERS - 1

    def stored() -> Any:
        with psycopg.connect(running.database_url) as connection:
            return connection.execute(
                "SELECT name, source, count(*) FROM auth0.users WHERE user_id LIKE %s GROUP BY 1, 2 ORDER BY 3",
                [f"{PREFIX}%"],
            ).fetchall()

    def name_of(number: int) -> str:
        key = {"user_id": {"S": f"{PREFIX}{number}"}}
        item = dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)["Item"]
        return str(item["profile"]["M"]["name"]["S"])

    wait_for(lambda: stored() == [("event", "auth0.logs", 1), ("export", "backfill", USERS - 1)], 60)
    wait_for(lambda: (name_of(7), name_of(8)) == ("event", "export"), 60)
    again = backfill(running, "--from-file", str(export), "--sink", "postgres")
    found = again["stores"]["postgres"]  # another export of the same time: its id decides which of the two wins
    assert (found["rows"], found["missing_slices"]) == (USERS, 0)
    assert found["applied"] + found["stale"] == USERS
