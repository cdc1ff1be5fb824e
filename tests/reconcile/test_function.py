"""The reconcile function: what it finds becomes metrics, and a comparison of a part never looks like a whole one."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from pipeline.delivery.consumers import Consumer
from pipeline.errors import StoreDown
from pipeline.functions import reconcile
from pipeline.functions.reconcile import Deadline, OutOfTime, PostgresNotRead
from pipeline.reconcile import Kind
from pipeline.reconcile.look import Report
from pipeline.settings import Comparison, Database
from pipeline.sinks.dynamodb import DynamoDBSink
from pipeline.sinks.postgres import PostgresSink, connect
from pipeline.stores.server import Server
from tests.emulator.support import Aws, users_table
from tests.reconcile.test_look import OLD, plant, version
from tests.reconcile.world import World
from tests.refresh.support import Context
from tests.strategies import changes, updated, user

Json = dict[str, Any]


def settings(*, lag: int = 0) -> Comparison:
    return Comparison(Database(url="postgresql://unused"), "unused", timedelta(seconds=lag), contents=True)


def compare(both: World, *, lag: int = 0, seconds: float = 60, contents: bool = True) -> Report:
    return reconcile.compare(both.stores(contents=contents), settings(lag=lag), Deadline(seconds))


def emitted(capsys: pytest.CaptureFixture[str]) -> Json:
    """Return the metrics that are sent by their names, with the kind where there is one."""
    sent: Json = {}
    for line in map(json.loads, capsys.readouterr().out.splitlines()):
        if "_aws" not in line:
            continue
        [directive] = line["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]:
            name = " ".join(filter(None, (metric["Name"], line.get("kind"))))
            assert name not in sent
            [sent[name]] = line[metric["Name"]]
    return sent


def test_every_kind_is_counted_apart_and_together(both: World, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = Counter(kind for kind, _ in plant(both).values())
    assert set(wanted) == set(Kind)
    both.now = datetime.now(UTC) + timedelta(hours=1)
    reconcile.count(compare(both, lag=-3600))
    sent = emitted(capsys)
    assert {kind: sent[f"Drift {kind}"] for kind in Kind} == wanted
    assert (sent["Drift"], sent["InFlight"], sent["Unfinished"]) == (wanted.total(), 0, 0)
    assert sent["UsersCompared"] == 46
    assert 0 < sent["CompareTime"] < 60_000


def test_equal_stores_send_zeros(both: World, capsys: pytest.CaptureFixture[str]) -> None:
    both.apply(*(version(f"{number}") for number in range(3)))
    reconcile.count(compare(both))
    sent = emitted(capsys)
    assert {name: sent[name] for name in sent if name.startswith("Drift")} == {
        "Drift": 0,
        **{f"Drift {kind}": 0 for kind in Kind},
    }
    assert (sent["UsersCompared"], sent["Unfinished"]) == (3, 0)


def test_a_change_within_the_lag_is_in_flight(both: World) -> None:
    planted = plant(both)
    report = compare(both, lag=300)
    assert (report.drift, report.in_flight, report.finished) == ([], len(planted), True)


def test_a_comparison_without_contents_misses_changes_by_hand_alone(both: World) -> None:
    wanted = Counter(kind for kind, _ in plant(both).values())
    found = Counter(one.kind for one in compare(both, lag=-3600, contents=False).drift)
    assert found == wanted - Counter({Kind.DIFFERENT: 2})


def test_a_comparison_that_does_not_end_in_time_sends_no_drift(
    both: World, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    plant(both)
    report = compare(both, seconds=0)
    reconcile.count(report)
    sent = emitted(capsys)
    assert caplog.messages == ["comparison not finished"]
    assert sent.keys() == {"Unfinished", "CompareTime"}
    assert sent["Unfinished"] == 1
    assert not report.finished


class Late(Deadline):
    """Time is over after so many updates."""

    def __init__(self, updates: int) -> None:
        super().__init__(60)
        self._updates = updates

    def update(self, text: str) -> None:
        self._updates -= "read" in text
        if self._updates < 0:
            raise OutOfTime(text)


def test_drift_that_was_found_before_the_end_of_the_time_is_sent(
    both: World, capsys: pytest.CaptureFixture[str]
) -> None:
    both.apply(*(version(f"{number}") for number in range(250)), to=[Consumer.POSTGRES])
    reconcile.count(reconcile.compare(both.stores(), settings(lag=-3600), Late(1)))
    sent = emitted(capsys)
    sent.pop("CompareTime")
    # And no zeros: nobody has looked for ghosts among the rest.
    assert sent == {"Unfinished": 1, "Drift": 200, "Drift missing": 200, "UsersCompared": 250}


def test_a_statement_ends_at_the_deadline(both: World, caplog: pytest.LogCaptureFixture) -> None:
    deadline = Deadline(0.3)

    class Slow(Server):
        def rows(self, query: Any, *parameters: Any) -> Any:
            return super().rows("SELECT pg_sleep(20)") if "GROUP BY" in query else super().rows(query, *parameters)

    with Slow(Database(url=both.url), left=deadline.left) as server:
        both.reader = server
        report = reconcile.compare(both.stores(), settings(), deadline)
    assert not report.finished
    assert report.seconds < 10
    assert caplog.messages == ["comparison not finished"]


@pytest.mark.parametrize("stopped", ["DivisionByZero", "QueryCanceled"])
def test_an_error_of_postgres_is_no_end_of_the_time_and_quotes_nothing(both: World, stopped: str) -> None:
    class Broken(Server):
        def rows(self, query: Any, *parameters: Any) -> Any:
            if "GROUP BY" in query:
                raise getattr(psycopg.errors, stopped)("ada@acme.example")
            return super().rows(query, *parameters)

    with Broken(Database(url=both.url)) as server:
        both.reader = server
        with pytest.raises(PostgresNotRead, match=stopped) as caught:
            compare(both)
    assert caught.value.__suppress_context__
    assert "ada" not in str(caught.value)


@pytest.fixture
def deployed(aws: Aws, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Json:
    """Return the settings of a function, whose table is the emulator's."""
    env = {
        "DATABASE_URL": postgres_url,
        "USERS_TABLE": users_table(aws.client("dynamodb")),
        "RECONCILE_LAG": "0",
        "AWS_ENDPOINT_URL": aws.emulator.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for variable, value in env.items():
        monkeypatch.setenv(variable, value)
    reconcile.clients.cache_clear()
    return env


@pytest.mark.emulator
@pytest.mark.postgres
def test_the_handler_compares_the_stores_of_its_settings(
    aws: Aws, deployed: Json, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(url=deployed["DATABASE_URL"])
    everybody = [updated(user(f"auth0|{n}", OLD, user_metadata={"number": n + 0.5}), date=OLD) for n in range(5)]
    rows = PostgresSink(lambda: connect(database))
    items = DynamoDBSink(aws.client("dynamodb"), deployed["USERS_TABLE"])
    assert rows.apply(changes(*everybody)).failed == items.apply(changes(*everybody[:-1])).failed == {}
    rows.close()
    items.close()
    with psycopg.connect(database.url) as connection:
        connection.execute("UPDATE auth0.user_rows SET synced_at = now() - interval '1 hour'")
    answer = reconcile.handler({}, Context(60))
    seconds = answer.pop("seconds")
    assert answer == {
        "finished": True,
        "users": {"postgres": 5, "dynamodb": 4},
        "drift": {"missing in dynamodb": 1},
        "in_flight": 0,
    }
    sent = emitted(capsys)
    assert (sent["Drift"], sent["Drift missing"]) == (1, 1)
    assert seconds < 60
    monkeypatch.setenv("RECONCILE_LAG", "7200")
    assert reconcile.handler({}, Context(60))["in_flight"] == 1


@pytest.mark.emulator
@pytest.mark.postgres
def test_a_store_that_is_down_is_an_error(deployed: Json, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/auth0")
    with pytest.raises(StoreDown):
        reconcile.handler({}, Context(60))
