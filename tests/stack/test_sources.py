"""Both buses and the refresh on the real Terraform: whichever way a change comes, both stores end the same."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.rows import dict_row

from devstack.stack import Stack
from pipeline import packaging
from pipeline.archive import athena
from pipeline.log_types import SIGNALS
from pipeline.stores.dynamodb import plain
from tests.emulator.support import wait_for
from tests.refresh import management_api
from tests.refresh.management_api import ManagementApi
from tests.strategies import call, created, deleted, log, streamed, updated, user

from .fixtures import AUTH0_DOMAIN

until = partial(wait_for, seconds=120)

pytestmark = [pytest.mark.stack, pytest.mark.emulator, pytest.mark.postgres]

Json = dict[str, Any]
CREATED, UPDATED, DELETED = (f"2026-03-01T10:0{minute}:00.000Z" for minute in range(3))


def put(running: Stack, *events: Json) -> None:
    """Put events on the bus of their source, as Auth0 does."""
    entries = [
        {"Source": e["source"], "DetailType": e["detail-type"], "Detail": json.dumps(e["detail"])} for e in events
    ]
    assert running.client("events").put_partner_events(Entries=entries)["FailedEntryCount"] == 0


def row(running: Stack, user_id: str) -> Json | None:
    with psycopg.connect(running.database_url, row_factory=dict_row) as connection:
        return connection.execute("SELECT * FROM auth0.users WHERE user_id = %s", [user_id]).fetchone()


def item(running: Stack, user_id: str) -> Json | None:
    key = {"user_id": {"S": user_id}}
    answer = running.client("dynamodb").get_item(TableName=running.outputs["users_table"], Key=key, ConsistentRead=True)
    return plain(answer["Item"]) if "Item" in answer else None


def stored(running: Stack, user_id: str) -> list[Json] | None:
    """Return a user as each store has it: profile, metadata and deletion; None until both have it."""
    in_postgres, in_dynamodb = row(running, user_id), item(running, user_id)
    if in_postgres is None or in_dynamodb is None:
        return None
    metadata = ("user_metadata", "app_metadata")
    whole = in_dynamodb.get("profile", {}) | {name: in_dynamodb[name] for name in metadata if in_dynamodb.get(name)}
    deleted_at = in_dynamodb.get("deleted_at")
    return [
        {"profile": in_postgres["profile"] or {}, "deleted_at": in_postgres["deleted_at"]},
        {"profile": whole, "deleted_at": deleted_at and datetime.fromisoformat(deleted_at)},
    ]


def waiting(running: Stack) -> int:
    """Return the number of messages in the three queues, in all states."""
    sqs = running.client("sqs")
    names = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible", "Delayed")]
    urls = running.outputs["queue_urls"].values()
    held = [sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"] for url in urls]
    return sum(int(attributes[name]) for attributes in held for name in names)


def failed(running: Stack) -> dict[str, int]:
    sqs = running.client("sqs")
    name = "ApproximateNumberOfMessages"
    urls = [url for output in ("dlq_urls", "target_dlq_urls") for url in running.outputs[output].values()]
    return {url: int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]) for url in urls}


@pytest.fixture(scope="module", autouse=True)
def quiet(running: Stack, empty_queues: None, leaves_no_user: None) -> Iterator[None]:
    """Wait until the last message of this module is stored, before its users are deleted."""
    yield
    until(lambda: not waiting(running))


@pytest.fixture
def nothing_is_lost(running: Stack) -> Iterator[None]:
    before = failed(running)
    yield
    assert failed(running) == before


# Both buses


def history(user_id: str, ends: bool) -> tuple[list[Json], list[Json]]:
    """Return the changes of one user, as logs and as events of the Event Stream."""
    first = user(user_id, CREATED, user_metadata={"plan": "free", "old": 1})
    second = user(user_id, UPDATED, user_metadata={"plan": "pro"}, app_metadata={"roles": ["a"]})
    logs = [
        created(first, log_id=f"{user_id} 1", date=CREATED),
        updated(second, log_id=f"{user_id} 2", date=UPDATED),
    ]
    events = [
        streamed("user.created", first, event_id=f"{user_id} 1", time=CREATED),
        streamed("user.updated", second, event_id=f"{user_id} 2", time=UPDATED),
    ]
    if ends:
        logs.append(deleted(user_id, log_id=f"{user_id} 3", date=DELETED))
        gone = {"user_id": user_id, "deleted_at": DELETED}
        events.append(streamed("user.deleted", gone, event_id=f"{user_id} 3", time=DELETED))
    return logs, events


@pytest.mark.usefixtures("nothing_is_lost")
def test_both_sources_give_what_either_gives(running: Stack) -> None:
    sources: dict[str, Callable[[list[Json], list[Json]], list[Json]]] = {
        "logs": lambda logs, events: logs,
        "events": lambda logs, events: events,
        "both": lambda logs, events: [*events[::-1], *logs],  # the newest comes first, and again
        "mixed": lambda logs, events: [logs[-1], *events[:-1]],
    }
    for source, choose in sources.items():
        for ends in (False, True):
            put(running, *choose(*history(f"auth0|{source}-{ends}", ends)))

    for ends in (False, True):
        for source in sources:
            user_id = f"auth0|{source}-{ends}"
            until(partial(stored, running, user_id))
    until(lambda: not waiting(running))

    for source in sources:
        user_id = f"auth0|{source}-False"
        last = user(user_id, UPDATED, user_metadata={"plan": "pro"}, app_metadata={"roles": ["a"]})
        assert stored(running, user_id) == [{"profile": last, "deleted_at": None}] * 2
        gone = [{"profile": {}, "deleted_at": datetime.fromisoformat(DELETED)}] * 2
        assert stored(running, f"auth0|{source}-True") == gone


@pytest.mark.usefixtures("nothing_is_lost")
def test_test_events_are_archived_and_not_stored(running: Stack) -> None:
    fake, real = "auth0|test-event", "auth0|after-the-test-event"
    put(running, streamed("user.created", user(fake), event_id=fake, a0purpose="test"))
    put(running, streamed("user.created", user(real), event_id=real))
    until(lambda: stored(running, real) and not waiting(running))
    assert row(running, fake) is None
    assert item(running, fake) is None
    assert until(lambda: {fake: "test", real: None}.items() <= archived(running).items())


@pytest.mark.usefixtures("nothing_is_lost")
def test_events_too_large_for_the_queues_are_counted_and_archived(running: Stack) -> None:
    small, *large = users = ["auth0|of-1-kib", "auth0|of-300-kib", "auth0|of-900-kib"]
    sizes = (1, 300, 900)
    before = not_even_dead(running)
    put(
        running,
        *[
            streamed("user.created", user(user_id, user_metadata={"x": "y" * size * 1024}), event_id=user_id)
            for user_id, size in zip(users, sizes, strict=True)
        ],
    )
    until(lambda: stored(running, small) and not waiting(running))
    assert not_even_dead(running) - before == len(large) * 2  # of each sink
    assert [row(running, user_id) or item(running, user_id) for user_id in large] == [None, None]
    assert until(lambda: set(users) <= archived(running).keys())

    # The runbook's question finds whom to send again.
    text = (packaging.ROOT / "docs" / "runbook.md").read_text()
    [sql] = re.findall(r'auth0-sync ask "(SELECT [^"]*length\(line\)[^"]*)"', text)
    database, workgroup = running.outputs["glue_database"], running.outputs["athena_workgroup"]
    answer = athena.query(running.client("athena"), sql, database=database, workgroup=workgroup)
    assert {line["user_id"] for line in answer.dicts()} == set(large)


def not_even_dead(running: Stack) -> float:
    """Return the number of events that EventBridge could put neither into a queue nor into its dead-letter queue."""
    names = {
        "EventBusName": running.outputs["bus_names"]["event-stream"],
        "RuleName": running.outputs["rule_names"]["user-changes"]["event-stream"],
    }
    now = datetime.now(UTC)
    answer = running.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Events",
        MetricName="InvocationsFailedToBeSentToDlq",
        Dimensions=[{"Name": name, "Value": value} for name, value in names.items()],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=3600,
        Statistics=["Sum"],
    )
    return float(sum(point["Sum"] for point in answer["Datapoints"]))


def archived(running: Stack) -> dict[str, str | None]:
    """Return the Event Stream's events in the archive: id and purpose, by Athena."""
    answer = athena.query(
        running.client("athena"),
        "SELECT stream_event_id AS id, purpose FROM stream_events",
        database=running.outputs["glue_database"],
        workgroup=running.outputs["athena_workgroup"],
    )
    return {event["id"]: event["purpose"] for event in answer.dicts()}


# Refresh


@pytest.fixture(scope="module")
def auth0(running: Stack) -> Iterator[ManagementApi]:
    """Yield a stand-in for Auth0, which the deployed function asks while the tests of this module run."""
    functions, name = running.client("lambda"), running.outputs["function_names"]["refresh"]
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(management_api, "DOMAIN", AUTH0_DOMAIN)
        api = ManagementApi()
        environment = {"Variables": variables | {"AUTH0_BASE_URL": api.url}}
        functions.update_function_configuration(FunctionName=name, Environment=environment)
        yield api
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
        api.close()


def unlinked(primary: str, other: str) -> Json:
    identity = "/".join(quote(part, safe="") for part in other.split("|"))
    return call("delete", f"/api/v2/users/{quote(primary, safe='')}/identities/{identity}", [])


@pytest.mark.usefixtures("nothing_is_lost")
def test_a_signal_brings_the_user_to_both_stores(running: Stack, auth0: ManagementApi) -> None:
    signals = {
        "auth0|logged-in": log("s", user_id="auth0|logged-in"),
        "auth0|new-password": log("scp", user_id="auth0|new-password"),
        "auth0|no-time": streamed("user.updated", {"user_id": "auth0|no-time"}),
        "auth0|primary": unlinked("auth0|primary", "google-oauth2|other"),
        "google-oauth2|other": None,
        "auth0|patched": updated({"user_id": "auth0|patched"}),
    }
    users = {user_id: json.loads(auth0.add(user_id, logins_count=2)) for user_id in signals}
    put(running, *[event for event in signals.values() if event])
    for user_id, profile in users.items():
        assert until(partial(stored, running, user_id)) == [{"profile": profile, "deleted_at": None}] * 2
    source = row(running, "auth0|logged-in")
    assert source is not None
    assert source["source"] == "refresh"


@pytest.mark.usefixtures("nothing_is_lost")
def test_a_fetched_user_too_large_for_the_queues_gets_into_both_stores(running: Stack, auth0: ManagementApi) -> None:
    user_id = "auth0|fetched-300-kb"
    profile = json.loads(auth0.add(user_id, app_metadata={"x": "y" * 300_000}))
    put(running, log("scp", user_id=user_id))
    assert until(lambda: stored(running, user_id)) == [{"profile": profile, "deleted_at": None}] * 2
    until(lambda: not waiting(running))
    assert auth0.asked().count(user_id) == 1


def test_the_archive_tells_which_signals_there_were(running: Stack, auth0: ManagementApi) -> None:
    """The test runs the documented query for deployments without the refresh."""
    text = (packaging.ROOT / "docs" / "events.md").read_text()
    [sql] = re.findall(r"```sql\n(.*?)```", text, flags=re.S)
    assert set(re.findall(r"'([a-z_]+)'", sql)) == SIGNALS.keys()
    put(running, *[log(kind, user_id="auth0|1", log_id=f"{kind} {n}") for n in range(2) for kind in ("sce", "slo")])

    def counts() -> dict[str, tuple[int, int]]:
        database, workgroup = running.outputs["glue_database"], running.outputs["athena_workgroup"]
        answer = athena.query(running.client("athena"), sql, database=database, workgroup=workgroup)
        return {line["type"]: (line["signals"], line["users"]) for line in answer.dicts()}

    assert until(lambda: counts().get("sce")) == (2, 1)
    assert "slo" not in counts()


@pytest.mark.usefixtures("nothing_is_lost")
def test_a_user_that_is_gone_becomes_a_tombstone_in_both_stores(running: Stack, auth0: ManagementApi) -> None:
    user_id = "auth0|gone"
    put(running, created(user(user_id), log_id=user_id))
    until(lambda: stored(running, user_id))
    put(running, log("sdu", user_id=user_id))
    gone = until(lambda: [state for state in stored(running, user_id) or [] if state["deleted_at"]][1:])
    assert gone[0]["profile"] == {}
    last = row(running, user_id)
    assert last is not None
    assert last["user_metadata"] == {}
    assert auth0.asked().count(user_id) == 1


@pytest.mark.usefixtures("nothing_is_lost")
def test_a_limit_is_waited_out(running: Stack, auth0: ManagementApi) -> None:
    """No delivery is failed for it, which two of would end in the dead-letter queue."""
    user_id = "auth0|limited"
    profile = json.loads(auth0.add(user_id))
    # For this user only: a signal of an earlier test that comes again must not take the answer.
    auth0.always[user_id] = management_api.Answer(429, b"{}", {"Retry-After": "12"})
    put(running, log("scp", user_id=user_id))
    until(lambda: user_id in auth0.asked())
    del auth0.always[user_id]
    assert until(lambda: stored(running, user_id)) == [{"profile": profile, "deleted_at": None}] * 2
    until(lambda: not waiting(running))
    answers = [(request.at, request.status) for request in auth0.requests if request.user_id == user_id]
    assert [status for _, status in answers] == [429, 200]
    assert answers[1][0] - answers[0][0] >= 12
