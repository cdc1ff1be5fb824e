"""The comparison takes candidates from an export, and Auth0's answers decide about them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.auth0.api import Fetched, Gone
from pipeline.auth0.errors import NobodyKnown, UserIdRefused
from pipeline.delivery.consumers import Consumer
from pipeline.errors import CommandError
from pipeline.progress import Quiet
from pipeline.reconcile import STORES, Kind
from pipeline.reconcile.auth0 import Report, differences, exported, left, look, repair
from pipeline.reconcile.postgres import PostgresUsers
from tests.reconcile.test_look import DYNAMODB, LATE, NEW, OLD, POSTGRES, version
from tests.reconcile.world import Straight, World
from tests.strategies import Json, deleted, updated, user

TAKEN_AT = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
"""After OLD and NEW, before LATE."""


class Tenant:
    """Users by id, and an export of them."""

    def __init__(self) -> None:
        self.users: dict[str, Json] = {}
        self.exported: list[Json] = []
        self.asked: list[str] = []

    def add(self, *names: str, at: str = OLD, **fields: Any) -> None:
        for name in names:
            profile = user(f"auth0|{name}", at, **fields)
            self.users[profile["user_id"]] = profile

    def export(self) -> None:
        """Take the export now; it has no later change."""
        self.exported = [dict(one) for one in self.users.values()]

    def lines(self) -> Iterator[Any]:
        return exported(f"{json.dumps(one)}\n".encode() for one in self.exported)

    def fetch(self, user_id: str) -> Fetched | Gone:
        self.asked.append(user_id)
        if user_id.startswith("smoke"):
            raise UserIdRefused
        if user_id not in self.users:
            return Gone(datetime.now(UTC))
        profile = self.users[user_id]
        return Fetched(profile["user_id"], json.dumps(profile).encode(), datetime.now(UTC))


@pytest.fixture
def tenant(both: World) -> Tenant:
    """A tenant whose users are all in both stores."""
    tenant = Tenant()
    tenant.add(*(f"{number}" for number in range(20)))
    both.apply(*(version(f"{number}") for number in range(20)))
    return tenant


def compare(both: World, tenant: Tenant, most: int = 100, settled: datetime | None = None) -> Report:
    until = dict.fromkeys(STORES, settled or both.now)
    by_update = PostgresUsers(both.reader, updates=True)
    return look(both.stores(), by_update, tenant.lines, TAKEN_AT, tenant.fetch, lambda: until, Quiet(), most)


def found(report: Report) -> set[tuple[str, Kind, Consumer | None]]:
    return {(one.user_id, one.kind, one.store) for one in report.drift}


def both_of(name: str, kind: Kind) -> set[tuple[str, Kind, Consumer | None]]:
    return {(f"auth0|{name}", kind, store) for store in STORES}


def plant(both: World, tenant: Tenant) -> set[Any]:
    tenant.add("missing", "missing here")
    tenant.add("stale", at=NEW, name="Grace")
    tenant.add("came back", at=NEW)
    both.apply(version("missing here"), to=[DYNAMODB])
    both.apply(version("stale"), version("ghost"), version("came back"))
    both.apply(deleted("auth0|came back", date=OLD))
    tenant.export()
    return {
        *both_of("missing", Kind.MISSING),
        ("auth0|missing here", Kind.MISSING, POSTGRES),
        *both_of("stale", Kind.STALE),
        *both_of("ghost", Kind.GHOST),
        *both_of("came back", Kind.MISSING),
    }


def test_every_kind_is_found_and_repaired_by_auth0s_own_answer(both: World, tenant: Tenant) -> None:
    planted = plant(both, tenant)
    report = compare(both, tenant)
    assert found(report) == planted
    assert report.exported == 24
    assert set(tenant.asked) - {"auth0|0"} == {user_id for user_id, _, _ in planted}
    targets = [Straight(sink) for sink in both.sinks.values()]
    assert repair(report, targets).refused == {}
    assert left(both.stores(), report, list(report.truth)) == []
    assert found(compare(both, tenant)) == set()
    assert both.look().drift == []


def test_what_changed_after_the_export_was_taken_is_no_difference(both: World, tenant: Tenant) -> None:
    tenant.add("deleted since", "deleted since, in the stores too")
    both.apply(version("deleted since, in the stores too"))
    tenant.export()
    tenant.add("created since", at=LATE)
    tenant.add("1", at=LATE, name="Grace")
    del tenant.users["auth0|deleted since"], tenant.users["auth0|deleted since, in the stores too"]
    both.apply(version("created since", LATE), version("1", LATE, name="Grace"))
    both.apply(deleted("auth0|deleted since, in the stores too", date=LATE))
    assert found(compare(both, tenant)) == set()
    assert set(tenant.asked) <= {"auth0|0", "auth0|deleted since"}


def test_a_user_whom_the_export_leaves_out_is_no_ghost_if_auth0_knows_it(both: World, tenant: Tenant) -> None:
    tenant.export()
    tenant.add("left out")
    both.apply(version("left out"))
    assert found(compare(both, tenant)) == set()
    assert "auth0|left out" in tenant.asked


def test_values_of_a_fetched_user_are_compared(both: World, tenant: Tenant) -> None:
    tenant.export()
    tenant.add("changed", user_metadata={"plan": "pro", "rate": 1.0})
    tenant.add("same", user_metadata={"plan": "pro", "rate": 1.0})
    both.apply(version("changed"), version("same", user_metadata={"rate": 1, "plan": "pro"}))
    assert found(compare(both, tenant)) == both_of("changed", Kind.DIFFERENT)


def test_young_changes_are_in_flight(both: World, tenant: Tenant) -> None:
    moment = (datetime.now(UTC) - timedelta(seconds=10)).isoformat()
    tenant.add("young", at=moment)
    tenant.export()
    report = compare(both, tenant, settled=datetime.now(UTC) - timedelta(minutes=5))
    assert (report.drift, report.in_flight) == ([], 2)


def test_another_tenant_deletes_nobody(both: World, tenant: Tenant) -> None:
    both.apply(version("ghost"))
    tenant.export()
    tenant.users.clear()
    with pytest.raises(NobodyKnown):
        compare(both, tenant)


def test_more_users_than_may_be_fetched_are_counted(both: World, tenant: Tenant) -> None:
    planted = plant(both, tenant)
    report = compare(both, tenant, most=2)
    assert (report.fetched, report.unconfirmed) == (2, len({user_id for user_id, _, _ in planted}) - 2)


def test_a_user_of_a_test_is_left_alone(both: World, tenant: Tenant) -> None:
    tenant.export()
    both.apply(updated(user("smoke|auth0-sync", OLD), date=OLD, log_id="smoke"))
    assert found(compare(both, tenant)) == set()


def test_a_linked_user_is_a_ghost(both: World, tenant: Tenant) -> None:
    both.apply(version("linked"))
    tenant.export()
    tenant.users["auth0|linked"] = tenant.users["auth0|1"]
    report = compare(both, tenant)
    assert found(report) == both_of("linked", Kind.GHOST)
    repair(report, [Straight(sink) for sink in both.sinks.values()])
    assert left(both.stores(), report, list(report.truth)) == []


@pytest.mark.parametrize(
    "line", [b"{}", b'{"user_id": "a|1"}', b"no json", b'{"user_id": "a|1", "updated_at": "soon"}']
)
def test_a_line_that_is_no_user_is_named(line: bytes) -> None:
    good = b'{"user_id": "a|1", "updated_at": "2026-01-15T09:00:00.000Z", "x": "\\ud800"}'
    with pytest.raises(CommandError, match="Line 3 "):
        list(exported([good, b"\n", line]))


DEEP = b"[" * 5000 + b"]" * 5000
"""A value that a user nested deeper than the decoder follows in Python 3.11."""


def test_a_user_who_nests_a_value_does_not_end_the_comparison() -> None:
    line = b'{"user_id": "a|1", "updated_at": "2026-01-15T09:00:00.000Z", "user_metadata": ' + DEEP + b"}"
    assert [one.user_id for one in exported([line])] == ["a|1"]
    answer = Fetched("a|1", line, datetime.now(UTC))
    assert [one.kind for one in differences("a|1", answer, None, None)] == [Kind.MISSING, Kind.MISSING]


def test_a_user_who_nests_a_value_is_compared_and_repaired(both: World, tenant: Tenant) -> None:
    both.sql("UPDATE auth0.user_rows SET user_metadata = %s::jsonb WHERE user_id = 'auth0|3'", DEEP.decode())
    drift = both.look().drift
    assert [(one.user_id, one.kind) for one in drift] == [("auth0|3", Kind.DIFFERENT)]
    both.repair(drift, trust=POSTGRES)
    both.dynamodb.table.pop("auth0|3")
    _, left_over, _ = both.repair(both.look().drift)
    assert [one.kind for one in left_over if one.kind is not Kind.DIFFERENT] == []
