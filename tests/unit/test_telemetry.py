"""Metrics and logs: the functions send the metrics in docs/metrics.md, and an old event does not raise the lag."""

import hashlib
import hmac
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import errors, telemetry
from pipeline.auth0.envelope import Deferred
from pipeline.auth0.settings import Refresh as Config
from pipeline.auth0.signals import Signals, Wanted
from pipeline.batch import Counts, collect, event_times
from pipeline.changes import Change, HistoryEntry, Outcome, instant
from pipeline.functions import manifest, reconcile, watch
from pipeline.functions.refresh import Refresh, Run
from pipeline.pseudonym import pseudonym
from pipeline.reconcile.look import Report
from pipeline.sinks import Sink
from tests.invoking import sync_with
from tests.strategies import LOG_ID, Json, call, deleted, log, records, streamed, updated, user

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def emitted(capsys: pytest.CaptureFixture[str]) -> list[Json]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]


def sent(line: Json) -> tuple[dict[tuple[str, str], float], dict[str, str]]:
    """Name, unit and value of the metrics of a line, and its dimensions."""
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "auth0-sync"
    [dimensions] = directive["Dimensions"]
    metrics = {(one["Name"], one["Unit"]): line[one["Name"]][0] for one in directive["Metrics"]}
    return metrics, {name: line[name] for name in dimensions}


def test_counts_become_one_line_of_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    counts = Counts(received=8, applied=2, duplicate=1, stale=1, ignored=1, signals=1, poison=1, retried=1)
    special = {"UnknownPaths": 2, "UnnamedDeletions": 3, "OddFields": 4}
    telemetry.count("postgres", counts, masked=1, lag=1500.0, special=special)
    [line] = emitted(capsys)
    metrics, dimensions = sent(line)
    assert dimensions == {"service": "auth0-sync", "sink": "postgres", "deployment": "local"}
    fields = {(field.capitalize(), "Count"): getattr(counts, field) for field in counts.__struct_fields__}
    others = {(name, "Count"): number for name, number in {"Masked": 1, **special}.items()}
    assert metrics == fields | others | {("SyncLag", "Milliseconds"): 1500.0}


def test_a_line_of_the_log_is_json_whatever_is_in_it() -> None:
    output = io.StringIO()
    before = telemetry.handler.setStream(output)
    try:
        telemetry.logger.info("50 %", extra={"of": Counter(a=1), "text": "ü\ud800\n", "at": NOW})
        telemetry.logger.debug("below the level")
    finally:
        telemetry.handler.setStream(before)
    [line] = [json.loads(text) for text in output.getvalue().splitlines()]
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo is not None
    assert re.fullmatch(r"\w+:\d+", line.pop("location"))
    texts = {"of": {"a": 1}, "text": "ü\ud800\n", "at": str(NOW)}
    assert line == {"level": "INFO", "message": "50 %", "service": "auth0-sync", **texts}


def test_the_level_and_the_service_come_from_the_environment() -> None:
    code = (
        "from pipeline.telemetry import emit, logger; logger.info('a'); logger.error('b'); emit(('sink', 's'), {}, {})"
    )
    env = os.environ | {"LOG_LEVEL": "WARNING", "SERVICE_NAME": "refresh"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    error, metrics = map(json.loads, done.stdout.splitlines())
    assert (error["message"], error["service"], metrics["service"]) == ("b", "refresh", "refresh")


def test_each_batch_is_counted_by_itself(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry.count("postgres", Counts(received=1, applied=1), lag=1.0)
    monkeypatch.setenv("DEPLOYMENT", "auth0-sync-prod")
    telemetry.count("dynamodb", Counts(received=2, stale=2))
    first, second = emitted(capsys)
    assert (first["sink"], first["Received"], first["Stale"]) == ("postgres", [1.0], [0.0])
    assert (second["sink"], second["Received"], second["Applied"]) == ("dynamodb", [2.0], [0.0])
    assert (first["deployment"], second["deployment"]) == ("local", "auth0-sync-prod")
    assert "SyncLag" not in second


def ago(seconds: float) -> str:
    return instant((NOW - timedelta(seconds=seconds)).isoformat())


def test_batch_without_an_applied_change_has_no_lag() -> None:
    assert telemetry.lag([], NOW) is None


@given(st.lists(st.floats(-60, 10**8), min_size=1))
def test_the_lag_is_the_median_and_never_negative(seconds: list[float]) -> None:
    lag = telemetry.lag([ago(one) for one in seconds], NOW)
    middle = sorted(seconds, reverse=True)[len(seconds) // 2]
    assert lag == pytest.approx(max(0, middle * 1000), abs=0.01)


@given(st.lists(st.floats(0, 5), min_size=2, max_size=40), st.floats(86_400, 10**7))
def test_one_old_event_does_not_raise_the_lag(fresh: list[float], old: float) -> None:
    lag = telemetry.lag([ago(one) for one in [*fresh, old]], NOW)
    assert lag is not None
    assert lag <= 5000


def test_the_lag_is_of_the_event_and_not_of_the_users_last_update() -> None:
    fetched = user("auth0|ada", updated_at="2019-01-01T00:00:00.000Z")
    batch = collect(records(updated(fetched, date="2026-11-22T07:59:58.500Z")))
    assert event_times(batch, Outcome()) == ["2026-11-22T07:59:58.500000Z"]


@pytest.mark.parametrize("sender", ["refresh", "doctor", "backfill"])
def test_events_of_the_pipeline_itself_have_no_lag(sender: str) -> None:
    own = streamed("user.updated", user("a|own")) | {"source": f"auth0-sync/{sender}"}
    assert event_times(collect(records(own)), Outcome()) == []
    assert len(event_times(collect(records(own, streamed("user.updated", user("a|2")))), Outcome())) == 1


def test_stale_and_failed_changes_have_no_lag() -> None:
    names = ("a|applied", "a|duplicate", "a|stale", "a|failed")
    batch = collect(records(*[updated(user(name), date="2020-01-01T00:00:00.000Z") for name in names]))
    batch.newest["a|applied"] = collect(records(deleted("a|applied", date="2026-11-22T08:00:00.000Z"))).newest[
        "a|applied"
    ]
    outcome = Outcome({"a|duplicate"}, {"a|stale"}, {"a|failed": errors.Refused()})
    assert event_times(batch, outcome) == ["2026-11-22T08:00:00.000000Z"]


class Store(Sink):
    """Takes everything."""

    def apply(self, changes: Sequence[Change], history: Sequence[HistoryEntry] = ()) -> Outcome:
        return Outcome()

    def close(self) -> None:
        pass


def test_batch_line_has_lag_masked_logs_and_duration() -> None:
    now = datetime.now(UTC)
    masked = updated(user("auth0|bob", email="b***@acme.example", name="***"))
    with sync_with(Store()) as function:
        function(updated(user("auth0|ada"), date=(now - timedelta(seconds=90)).isoformat()), masked, log("fp"))
        [line] = [line for line in function.lines if "_aws" in line]
        [logged] = function.logged("batch")
    assert line["Masked"] == [1.0]
    assert (line["Applied"], line["Ignored"]) == ([2.0], [1.0])
    assert [warning["log_id"] for warning in function.logged("masked log")] == [LOG_ID]
    assert 90_000 <= line["SyncLag"][0] < 150_000
    assert 0 <= logged["milliseconds"] < 60_000


def test_special_counts_are_sent() -> None:
    ahead = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    events = (
        call("patch", "/api/v2/users/a%7C1/next-year"),
        call("delete", "/api/v2/connections/con_1/users?email=x"),
        updated(user("a|1"), description=["x"], user_id=5),
        updated(user("a|2", ahead)),
    )
    with sync_with(Store(), tolerance=timedelta(days=1)) as function:
        assert function(*events) == []
        [line] = [line for line in function.lines if "_aws" in line]
        [logged] = function.logged("batch")
    assert {name: line[name] for name in telemetry.SPECIAL} == {
        "UnknownPaths": [1.0], "UnnamedDeletions": [1.0], "OddFields": [2.0], "WrongClocks": [1.0],
    }  # fmt: skip
    assert logged["notes"] == {"odd user_id": 1, "odd description": 1, "wrong clock": 1}


UNUSED: Any = None
"""Clients, which the counts do not need."""
REFRESH = Refresh(Config("", ()), UNUSED, UNUSED, UNUSED)


def wanted(first_seen: int) -> Wanted:
    return Wanted(["m"], Deferred(first_seen), first_seen)


def test_the_signal_that_has_waited_longest_counts(capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime.now(UTC).timestamp() * 1000
    signals = Signals(received=2, users={"a|1": wanted(int(now - 500)), "a|2": wanted(int(now - 7_200_000))})
    Run(signals, REFRESH).count(0)
    [line] = emitted(capsys)
    assert 7_200_000 <= line["SignalAge"][0] < 7_260_000


def test_no_signal_has_no_age(capsys: pytest.CaptureFixture[str]) -> None:
    Run(Signals(received=1, ignored=1), REFRESH).count(0)
    [line] = emitted(capsys)
    assert "SignalAge" not in line


def test_the_docs_have_every_metric_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
    documented = re.findall(r"^\| `(\w+)` \| (\w+) \| `(\w+)` \| .+ \|$", text, flags=re.M)
    telemetry.count("postgres", Counts(), lag=1.0)
    Run(Signals(users={"a|1": wanted(0)}), REFRESH).count(0)
    watch.count(watch.Run(UNUSED, [], UNUSED))
    manifest.count(manifest.Run(UNUSED, UNUSED, UNUSED, NOW))
    reconcile.count(Report(finished=True))
    found = set()
    for line in emitted(capsys):
        metrics, dimensions = sent(line)
        [dimension] = dimensions.keys() - {"deployment", "service"}
        found |= {(*metric, dimension) for metric in metrics}
    assert sorted(documented) == sorted(found)


def test_a_pseudonym_is_the_same_in_a_deployment_and_another_in_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pseudonym("auth0|ada", "key") == pseudonym("auth0|ada", "key")
    assert len({pseudonym(user_id, key) for user_id in ("auth0|ada", "auth0|adb") for key in ("", "key", "key2")}) == 6
    assert len(pseudonym("\ud800", "")) == 16
    assert pseudonym("auth0|ada", "key") == hmac.new(b"key", b"auth0|ada", "sha256").hexdigest()[:16]
    monkeypatch.setenv("PSEUDONYM_KEY", "key")
    assert pseudonym("auth0|ada") == pseudonym("auth0|ada", "key")


def test_logs_alone_do_not_confirm_a_guessed_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSEUDONYM_KEY", "of the deployment")
    guess = "email|ada@acme.example"
    assert pseudonym(guess) not in {hashlib.sha256(guess.encode()).hexdigest()[:16], pseudonym(guess, "")}


def every_error() -> list[type[errors.Auth0SyncError]]:
    """Return the errors of ``pipeline.errors`` without ``CommandError``, which has its message from its caller."""
    found = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return [kind for kind in found if issubclass(kind, errors.Auth0SyncError) and kind is not errors.CommandError]


@pytest.mark.parametrize("kind", every_error())
def test_an_error_is_its_docstring(kind: type[errors.Auth0SyncError]) -> None:
    error = kind()
    assert error.reason == kind.__name__
    assert str(error) == " ".join((kind.__doc__ or "").split())
    assert str(kind("at 5")) == f"{error} (at 5)"


def test_every_failure_is_retry_or_poison() -> None:
    for kind in every_error():
        if kind is not errors.Auth0SyncError and not issubclass(kind, errors.BadSettings):
            assert issubclass(kind, errors.Retry) != issubclass(kind, errors.Poison)
