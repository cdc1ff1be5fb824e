"""The whole stack with everything that can be switched on, once: it takes a minute to apply."""

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from devstack import demo, stack
from tests.emulator.support import refusals
from tests.refresh.management_api import CLIENT_ID, CLIENT_SECRET

EVENT_STREAM_SOURCE = stack.LOG_STREAM_SOURCE.replace("auth0.logs", "auth0.events")
EVENTS, USERS, MALFORMED = 300, 40, 2
AUTH0_DOMAIN = "acme.auth0.invalid"
"""No name server knows it, so that nothing is asked of Auth0 itself."""


def options(running: stack.Stack) -> dict[str, str]:
    """Terraform variables for both streams and the refresh, and the secret that they name."""
    secrets = running.client("secretsmanager")
    try:
        value = json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET})
        arn = secrets.create_secret(Name="auth0-sync", SecretString=value)["ARN"]
    except secrets.exceptions.ResourceExistsException:
        arn = secrets.describe_secret(SecretId="auth0-sync")["ARN"]
    domain = {"auth0_domain": AUTH0_DOMAIN, "trusted_domains": [AUTH0_DOMAIN]}
    refresh = domain | {"secret_arn": arn, "rate": 20}
    sources = {"log_stream_source_name": stack.LOG_STREAM_SOURCE, "event_stream_source_name": EVENT_STREAM_SOURCE}
    return {
        "auth0": json.dumps(sources),
        "backfill": "{}",
        "refresh": json.dumps(refresh | {"on_login": True, "timeout_seconds": 15}),
    }


def processes(directory: Path) -> list[str]:
    """Return the processes that run out of ``directory``."""
    lines = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(directory) in line:
            lines.append(line)
    return lines


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="session")
def running(directory: Path) -> Iterator[stack.Stack]:
    try:
        yield stack.up(directory=directory, options=options)
        assert not refusals(directory / "emulator/emulator.log")
    finally:
        stack.down(directory)
        assert not processes(directory), "down left something running"


def empty(running: stack.Stack) -> None:
    """Delete the messages of other tests from the queues and their dead-letter queues."""
    for output in ("queue_urls", "dlq_urls", "target_dlq_urls"):
        for url in running.outputs[output].values():
            running.client("sqs").purge_queue(QueueUrl=url)


@pytest.fixture(scope="module")
def empty_queues(running: stack.Stack) -> None:
    """Begin without the messages of other tests."""
    empty(running)


@pytest.fixture(scope="module")
def leaves_no_user(running: stack.Stack) -> Iterator[None]:
    """Delete the users that the module's tests have made: other tests look at the stores as a whole."""
    with psycopg.connect(running.database_url) as connection:
        before = [user_id for (user_id,) in connection.execute("SELECT user_id FROM auth0.users")]
    yield
    with psycopg.connect(running.database_url) as connection:
        connection.execute("DELETE FROM auth0.user_rows WHERE user_id <> ALL (%s)", [before])
    dynamodb, table = running.client("dynamodb"), running.outputs["users_table"]
    for page in dynamodb.get_paginator("scan").paginate(TableName=table, ProjectionExpression="user_id"):
        for key in page["Items"]:
            if key["user_id"]["S"] not in before:
                dynamodb.delete_item(TableName=table, Key=key)


@pytest.fixture(scope="session")
def run(running: stack.Stack) -> demo.Run:
    empty(running)
    run = demo.put(running, EVENTS, USERS, MALFORMED, seed=7, update=print)
    demo.settle(run, print)
    return run


@pytest.fixture(scope="session")
def report(run: demo.Run) -> demo.Report:
    return demo.report(run)
