"""Messages that a function gave up: listed with their reasons, put back, deleted."""

import csv
import io
import json
import time
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from tests.cli.test_undelivered import Deployment, deployment
from tests.strategies import text, updated, user

__all__ = ["deployment"]

pytestmark = pytest.mark.emulator


class Given:
    """Three messages that were given up: unreadable, refused by the store, and of a batch that failed as a whole."""

    def __init__(self, on: Deployment) -> None:
        self.on = on
        self.queue, _ = on.queues("postgres")
        self.dead = on.queue("postgres-failed")
        good = text(updated(user("auth0|ada")))
        self.bodies = {"NotJson": "not JSON", "Refused": good, "BatchFailed": good}
        send = on.aws.sqs.send_message
        self.ids = {why: send(QueueUrl=self.dead, MessageBody=body)["MessageId"] for why, body in self.bodies.items()}
        logs, group = on.aws.client("logs"), f"/aws/lambda/{on.name}-sync-postgres"
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="1")
        line = {
            "level": "ERROR",
            "message": "message not stored",
            "message_id": self.ids["Refused"],
            "reason": "Refused",
        }
        events = [{"timestamp": int(time.time() * 1000), "message": one} for one in ("START", json.dumps(line))]
        logs.put_log_events(logGroupName=group, logStreamName="1", logEvents=events)

    def run(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        command = ["failed", "postgres", "--deployment", self.on.name, *arguments, "--json"]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == code, (result.output, result.exception)
        report: dict[str, Any] = json.loads(result.stdout)
        return report

    @property
    def left(self) -> int:
        return self.on.waiting(self.dead)


@pytest.fixture
def given(deployment: Deployment) -> Given:
    return Given(deployment)


def test_each_is_listed_with_its_reason_and_without_personal_data(given: Given) -> None:
    report = given.run()
    assert {one["reason"]: one["id"] for one in report["messages"]} == given.ids
    assert "auth0|ada" not in json.dumps(report)
    assert given.left == 3
    with_users = {one["reason"]: one["users"] for one in given.run("--users")["messages"]}
    assert with_users == {"NotJson": [], "Refused": ["auth0|ada"], "BatchFailed": ["auth0|ada"]}
    [one] = given.run("--reason", "Refused")["messages"]
    assert (one["type"], one["bytes"]) == ("sapi", len(given.bodies["Refused"].encode()))


def test_all_messages_are_put_back(given: Given) -> None:
    assert given.run("--put-back")["done"] == 3
    assert (given.left, given.on.waiting(given.queue)) == (0, 3)


def test_reason_selects_the_messages_to_put_back_or_delete(given: Given) -> None:
    assert given.run("--put-back", "--reason", "BatchFailed")["done"] == 1
    assert (given.left, given.on.waiting(given.queue)) == (2, 1)
    assert given.run("--delete", "--reason", "NotJson")["done"] == 1
    [one] = given.run()["messages"]
    assert given.run("--delete", "--id", one["id"])["done"] == 1
    assert (given.left, given.on.waiting(given.queue)) == (0, 1)


def test_delete_needs_an_explicit_choice(given: Given) -> None:
    for arguments in (["--delete"], ["--delete", "--put-back", "--reason", "NotJson"]):
        command = ["failed", "postgres", "--deployment", given.on.name, *arguments]
        assert CliRunner().invoke(app, command).exit_code == 2
    assert given.left == 3


def test_refused_message_stays_and_means_exit_code_3(given: Given) -> None:
    # A queue that takes less than the dead-letter queue holds, whose function does not exist.
    url = given.on.aws.sqs.get_queue_url(QueueName=f"{given.on.name}-postgres")["QueueUrl"]
    given.on.aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": "1024"})
    assert len(given.bodies["Refused"]) > 1024
    report = given.run("--put-back", code=3)
    assert (report["done"], report["refused"]) == (1, {"ResourceNotFoundException": 2})
    assert (given.left, given.on.waiting(given.queue)) == (2, 1)


def test_people_see_a_line_for_each(given: Given) -> None:
    shown = CliRunner().invoke(app, ["failed", "postgres", "--deployment", given.on.name]).stdout
    for reason, message_id in given.ids.items():
        assert f"{reason}: 1" in shown
        [line] = [line for line in shown.splitlines() if message_id in line]
        assert reason in line


def test_messages_as_csv(given: Given) -> None:
    command = ["failed", "postgres", "--deployment", given.on.name, "--csv", "--users"]
    rows = list(csv.DictReader(io.StringIO(CliRunner().invoke(app, command).stdout)))
    assert {row["reason"]: row["message id"] for row in rows} == given.ids
    assert {row["reason"]: row["users"] for row in rows}["Refused"] == "auth0|ada"
    done = CliRunner().invoke(app, [*command, "--put-back"])
    assert (len(done.stdout.splitlines()), done.stderr.strip()) == (4, "Put back: 3")


def test_command_names_the_limit_that_cut_the_list(given: Given) -> None:
    command = ["failed", "postgres", "--deployment", given.on.name]
    for form in ([], ["--json"], ["--csv"]):
        said = CliRunner().invoke(app, [*command, "--limit", "2", *form]).stderr
        assert "2 of about 3 messages: --limit 2 cut the list" in said
        assert CliRunner().invoke(app, [*command, "--limit", "3", *form]).stderr == ""
