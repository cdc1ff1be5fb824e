"""`auth0-sync reconcile`, on the emulator, with queues that a thread empties as the functions do."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pipeline.auth0.errors import DamagedExport
from pipeline.cli import app
from pipeline.cli import reconcile as command
from pipeline.sinks import Sink
from tests.cli.test_users import cluster, sinks
from tests.emulator.support import Aws, name
from tests.refresh.management_api import CLIENT_ID, CLIENT_SECRET, DOMAIN, ManagementApi
from tests.strategies import changes, deleted, updated, user
from tests.threads import meanwhile

__all__ = ["cluster", "sinks"]

pytestmark = pytest.mark.emulator

STORES = ("postgres", "dynamodb")


@dataclass
class Deployment:
    aws: Aws
    name: str
    sinks: dict[str, Sink]
    urls: dict[str, str]

    def apply(self, *events: Any, to: tuple[str, ...] = STORES) -> None:
        for store in to:
            assert self.sinks[store].apply(changes(*events)).failed == {}

    def run(self, *arguments: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(app, ["reconcile", "--deployment", self.name, *arguments], input=answer)

    def json(self, *arguments: str, code: int = 0) -> Any:
        result = self.run("--json", "--yes", "--lag", "0", *arguments)
        assert result.exit_code == code, (result.output, result.exception)
        return json.loads(result.stdout)

    @contextmanager
    def functions(self) -> Iterator[None]:
        """Take the messages in the queues, as the sync's functions do."""

        def work(stop: threading.Event) -> None:
            while not stop.is_set():
                for store, url in self.urls.items():
                    found = self.aws.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
                    for message in found:
                        self.apply(message["Body"], to=(store,))
                        self.aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                stop.wait(0.05)

        with meanwhile(work):
            yield


@pytest.fixture
def deployment(aws: Aws, sinks: dict[str, Sink], monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.emulator.endpoint)
    prefix = name("auth0-sync")
    urls = {store: aws.sqs.create_queue(QueueName=f"{prefix}-{store}")["QueueUrl"] for store in STORES}
    return Deployment(aws, prefix, sinks, urls)


def plant(deployment: Deployment, users: int = 12) -> None:
    """One missing, one stale and one ghost in each store; the ghosts are more than one user in a hundred."""
    deployment.apply(*(updated(user(f"auth0|{number}")) for number in range(users)))
    for place, store in enumerate(STORES):
        [other] = {*STORES} - {store}
        deployment.apply(updated(user(f"auth0|missing-{place}")), to=(other,))
        deployment.apply(updated(user(f"auth0|{place}", "2027-01-01T00:00:00.000Z")), to=(other,))
        deployment.apply(deleted(f"auth0|{place + 2}", date="2027-01-01T00:00:00.000Z"), to=(other,))


def counted(document: Any, key: str = "drift") -> dict[tuple[str, str | None], int]:
    return {(row["kind"], row["store"]): row["users"] for row in document[key]}


PLANTED = {(kind, store): 1 for kind in ("missing", "stale", "ghost") for store in STORES}


def test_finds_and_repairs(deployment: Deployment) -> None:
    deployment.apply(*(updated(user(f"auth0|{number}")) for number in range(4)))
    agreed = deployment.json("--contents")
    assert (agreed["drift"], agreed["users"]) == ([], {"postgres": 4, "dynamodb": 4})
    plant(deployment)
    found = deployment.json("--users", code=3)
    assert counted(found) == PLANTED
    assert {(one["kind"], one["store"], one["user_id"]) for one in found["listed"]} >= {
        ("missing", "postgres", "auth0|missing-0"),
        ("ghost", "dynamodb", "auth0|3"),
    }
    assert len(deployment.json("--users", "--limit", "2", code=3)["listed"]) == 2
    assert "listed" not in deployment.json(code=3)

    refused = deployment.run("--yes", "--lag", "0", "--fix")
    assert refused.exit_code == 1
    assert "1 of 12 users in Postgres and 1 of 12 users in DynamoDB" in str(refused.exception)

    with deployment.functions():
        fixed = deployment.json("--fix", "--allow-data-loss")
    assert (fixed["sent"], fixed["refused"], fixed["left"]) == ({"postgres": 3, "dynamodb": 3}, {}, [])
    assert counted(deployment.json()) == {}


def test_a_person_agrees_to_the_cost_and_to_deletions(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(deployment)
    unasked = deployment.run()
    assert (unasked.exit_code, "--yes" in str(unasked.exception)) == (1, True)
    assert "read units" in unasked.stderr
    monkeypatch.setattr(command, "can_ask", lambda: True)
    declined = deployment.run(answer="n\n")
    assert (declined.exit_code, "nothing was read" in str(declined.exception)) == (1, True)
    wrong = deployment.run("--fix", "--lag", "0", answer="y\nauth0-sync\n")
    assert (wrong.exit_code, "nothing was changed" in str(wrong.exception)) == (1, True)
    with deployment.functions():
        done = deployment.run("--fix", "--lag", "0", answer=f"y\n{deployment.name}\n")
    assert done.exit_code == 0, (done.output, done.exception)
    assert "ghost" in done.stdout
    assert deployment.run("--lag", "0", answer="y\n").exit_code == 0


def test_young_changes_are_in_flight(deployment: Deployment) -> None:
    plant(deployment)
    result = deployment.run("--yes")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "In flight, and no difference: 6" in result.stdout
    assert "agree" in result.stdout


def test_what_no_sink_takes_is_left(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(deployment)
    monkeypatch.setattr("pipeline.reconcile.fix.PAUSE", 0)
    monkeypatch.setattr("pipeline.cli.reconcile.TIMEOUT", 0)
    result = deployment.run("--yes", "--lag", "0", "--fix", "--allow-data-loss", "--users")
    assert result.exit_code == 3
    assert "missing in DynamoDB: auth0|missing-1" in result.stdout


def test_the_refresh_is_no_store(deployment: Deployment) -> None:
    assert deployment.run("--yes", "--fix", "--trust", "refresh").exit_code == 2


@pytest.fixture
def auth0(monkeypatch: pytest.MonkeyPatch) -> Iterator[ManagementApi]:
    api = ManagementApi()
    variables = {"DOMAIN": DOMAIN, "BASE_URL": api.url, "CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": CLIENT_SECRET}
    for variable, value in variables.items():
        monkeypatch.setenv(f"AUTH0_{variable}", value)
    yield api
    api.close()


@pytest.mark.parametrize("compressed", [False, True])
def test_an_export_is_the_third_side(
    deployment: Deployment, auth0: ManagementApi, tmp_path: Path, compressed: bool
) -> None:
    moment = "2026-01-15T09:00:00.000Z"
    lines = b"\n".join(auth0.add(f"auth0|{number}", updated_at=moment) for number in range(5))
    export = tmp_path / "users.ndjson.gz"
    export.write_bytes(gzip.compress(lines) if compressed else lines)
    deployment.apply(*(updated(json.loads(body)) for body in list(auth0.users.values())[:4]))
    deployment.apply(updated(user("auth0|ghost", moment)))
    arguments = ("--export", str(export), "--exported-at", "2026-01-16T00:00", "--rate", "100")
    report = deployment.json(*arguments, code=3)
    assert report["drift"] == []
    both = {("missing", store): 1 for store in STORES} | {("ghost", store): 1 for store in STORES}
    assert (counted(report["auth0"]), report["auth0"]["fetched"]) == (both, 2)
    with deployment.functions():
        fixed = deployment.json(*arguments, "--fix", "--allow-data-loss")
    assert (fixed["auth0"]["sent"], fixed["auth0"]["left"]) == (2, [])
    agreed = deployment.run("--yes", "--lag", "0", *arguments)
    assert (agreed.exit_code, "Auth0 and the stores agree" in agreed.stdout) == (0, True)
    unasked = deployment.run("--yes", "--lag", "0", *arguments[:2])
    assert unasked.exit_code == 2


def test_a_damaged_export_is_an_error(deployment: Deployment, auth0: ManagementApi, tmp_path: Path) -> None:
    export = tmp_path / "users.ndjson.gz"
    export.write_bytes(gzip.compress(auth0.add("auth0|0"))[:-9])
    result = deployment.run("--yes", "--export", str(export), "--exported-at", "2026-01-16")
    assert isinstance(result.exception, DamagedExport), result.exception
