"""Good messages that fall into a dead-letter queue: the demo says so, and one command puts them back."""

import os
import subprocess
import sys
import time

import psycopg
import pytest

from devstack import StackError, demo, stack

pytestmark = [pytest.mark.stack, pytest.mark.emulator, pytest.mark.postgres]


@pytest.mark.usefixtures("empty_queues", "leaves_no_user")
def test_the_demo_names_the_queue_and_the_command_puts_them_back(running: stack.Stack) -> None:
    with psycopg.connect(running.database_url, autocommit=True) as connection:
        connection.execute("REVOKE INSERT, UPDATE ON auth0.user_rows FROM auth0_writer")
    run = demo.put(running, 60, 6, 0, 4711, print)
    with pytest.raises(StackError, match="have fallen into the dead-letter queue postgres-failed") as error:
        demo.settle(run, print)
    assert "auth0-sync failed postgres --put-back" in str(error.value)

    stack.make_roles(running)
    while demo._waiting(running.client("sqs"), running.outputs["queue_urls"]["postgres"]):
        time.sleep(0.2)  # some messages may still fall, and others are stored now
    program = "from pipeline.cli import main; main()"
    subprocess.run(
        [sys.executable, "-c", program, "failed", "postgres", "--put-back"],
        env=os.environ | stack.environment(running),
        check=True,
    )
    demo.settle(run, print)
    assert demo.report(run).differences == []
