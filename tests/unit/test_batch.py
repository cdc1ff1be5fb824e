from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import errors
from pipeline.batch import collect, summarize
from pipeline.changes import Change, Outcome, Tombstone
from pipeline.errors import Refused, StoreDown
from tests.strategies import Log, call, deliveries, histories, log, newest, records, text, updated, user

UNREAD = ("nope", "{}", text(updated(user(updated_at="soon"))))
IGNORED = (text(log("fp")), text(call("get", "/api/v2/users/x")))
SIGNALS = (text(log("s", user_id="auth0|a")), text(call("patch", "/api/v2/users/auth0%7Ca", {})))
OTHERS = [
    (kind, body) for kind, bodies in (("unread", UNREAD), ("ignored", IGNORED), ("signal", SIGNALS)) for body in bodies
]


Run = tuple[list[list[tuple[str, Any]]], dict[str, errors.Auth0SyncError]]
"""Batches of (kind, body or log), and the users that fail."""


class Store:
    """A sink in memory: last write wins, and some users fail."""

    def __init__(self, failing: Mapping[str, errors.Auth0SyncError]) -> None:
        self.versions: dict[str, str] = {}
        self.failing = failing

    def apply(self, changes: Sequence[Change]) -> Outcome:
        assert [change.user_id for change in changes] == sorted({change.user_id for change in changes})
        outcome = Outcome()
        for change in changes:
            stored = self.versions.get(change.user_id, "")
            if change.user_id in self.failing:
                outcome.failed[change.user_id] = self.failing[change.user_id]
            elif stored == change.version:
                outcome.duplicate.add(change.user_id)
            elif stored > change.version:
                outcome.stale.add(change.user_id)
            else:
                self.versions[change.user_id] = change.version
        return outcome


@st.composite
def runs(draw: st.DrawFn) -> Run:
    logs = draw(histories())
    batches = []
    for batch in draw(deliveries(logs)):
        others = draw(st.lists(st.sampled_from(OTHERS), max_size=4))
        batches.append(draw(st.permutations([*(("change", entry) for entry in batch), *others])))
    failures = st.sampled_from([errors.Refused("x"), errors.StoreBusy("x")])
    failing = draw(st.dictionaries(st.sampled_from([entry.user_id for entry in logs]), failures, max_size=2))
    return batches, failing


@given(runs())
def test_every_message_has_exactly_one_outcome(run: Run) -> None:
    batches, failing = run
    store = Store(failing)
    seen: dict[str, Log] = {}
    for messages in batches:
        batch = collect(records(*(item.body if isinstance(item, Log) else item for _, item in messages)))
        failed, counts = summarize(batch, store.apply(batch.changes))

        mine, expected = Counter(kind for kind, _ in messages), Counter(received=len(messages))
        expected += Counter(ignored=mine["ignored"], signals=mine["signal"], poison=mine["unread"])
        fails = {f"m{number}" for number, (kind, _) in enumerate(messages) if kind == "unread"}
        changes = [(f"m{number}", item) for number, (kind, item) in enumerate(messages) if kind == "change"]
        for user_id, best in newest(item for _, item in changes).items():
            about = [(message, item) for message, item in changes if item.user_id == user_id]
            if error := failing.get(user_id):
                fails |= {message for message, _ in about}
                expected["poison" if isinstance(error, errors.Poison) else "retried"] += len(about)
                continue
            known = seen.get(user_id)
            fate = "applied" if known is None or known.order < best.order else "duplicate" if known == best else "stale"
            expected[fate] += 1
            same = sum(item == best for _, item in about) - 1
            expected["duplicate"] += same
            expected["stale"] += len(about) - 1 - same
            if fate == "applied":
                seen[user_id] = best

        assert sorted(failure.message_id for failure in failed) == sorted(fails)
        assert +Counter({field: getattr(counts, field) for field in counts.__struct_fields__}) == +expected
        assert sum(expected.values()) == 2 * len(messages)


@given(histories().flatmap(lambda logs: st.permutations([*logs, *logs])))
def test_the_newest_change_of_each_user_is_kept(logs: list[Log]) -> None:
    batch = collect(records(*(entry.body for entry in logs)))
    assert {change.user_id: change.event_id for change in batch.changes} == {
        user_id: entry.log_id for user_id, entry in newest(logs).items()
    }
    assert all(isinstance(change, Tombstone) == newest(logs)[change.user_id].gone for change in batch.changes)


@pytest.mark.parametrize("error", [errors.Refused("x"), errors.StoreDown("x")])
def test_messages_of_a_user_fail_with_the_newest(error: Refused | StoreDown) -> None:
    logs = [Log(number, "a|1", number, 0, False, 0) for number in range(3)]
    bodies = [entry.body for entry in (*logs, logs[0], replace(logs[0], user_id="a|2"))]
    batch = collect(records(*bodies))
    failed, counts = summarize(batch, Outcome(failed={"a|1": error}))
    assert [(failure.message_id, failure.user_id) for failure in failed] == [(f"m{n}", "a|1") for n in range(4)]
    assert all(failure.error is error for failure in failed)
    assert (counts.applied, counts.poison + counts.retried) == (1, 4)
    assert counts.poison == (4 if isinstance(error, errors.Poison) else 0)


def test_message_with_several_changes_fails_if_one_fails() -> None:
    identities = [
        {"provider": "a", "user_id": "1"},
        {"provider": "b", "user_id": "2"},
        {"provider": "c", "user_id": "3"},
    ]
    batch = collect(records(call("post", "/api/v2/users/a%7C1/identities", identities, status=201)))
    assert [change.user_id for change in batch.changes] == ["b|2", "c|3"]
    assert batch.signals == {"linked": 1}
    failed, _ = summarize(batch, Outcome(failed={"c|3": errors.StoreBusy("x")}))
    assert [failure.message_id for failure in failed] == ["m0"]


def test_empty_batch_has_no_outcome() -> None:
    batch = collect([])
    assert batch.changes == []
    failed, counts = summarize(batch, Outcome())
    assert failed == []
    assert not any(getattr(counts, field) for field in counts.__struct_fields__)


def test_batches_share_no_state() -> None:
    collect(records(user_update := updated(user()), "nope", log("fp")))
    batch = collect([])
    assert not (batch.newest)
    assert not (batch.deliveries)
    assert not (batch.unread)
    assert not (batch.ignored)
    assert not (batch.signals)
    assert collect(records(user_update)).received == 1


@settings(max_examples=20)
@given(st.sampled_from(OTHERS))
def test_reasons_are_counted(other: tuple[str, str]) -> None:
    kind, body = other
    batch = collect(records(body, body, updated(user())))
    found = {"unread": len(batch.unread), "ignored": sum(batch.ignored.values()), "signal": sum(batch.signals.values())}
    assert found == {"unread": 0, "ignored": 0, "signal": 0} | {kind: 2}
