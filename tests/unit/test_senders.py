"""A sink refuses an event of a foreign source or of the wrong sender."""

import json
from datetime import UTC, datetime

import pytest

from devstack.traffic import DEFAULT_SOURCE
from pipeline.auth0 import envelope
from pipeline.auth0.envelope import Deferred
from pipeline.batch import Batch, collect
from pipeline.delivery.envelope import StoredUser, stored_user
from pipeline.doctor import synthetic
from pipeline.senders import Senders
from tests.strategies import EVENTS_SOURCE, Json, call, deleted, records, streamed, text, updated, user

NOW = datetime(2026, 11, 22, tzinfo=UTC)
MOMENT = "2026-11-22T07:00:00.000000Z"
REFRESH_ROLE = "AROAREFRESHREFRESH123"
SENDERS = Senders(frozenset({DEFAULT_SOURCE, EVENTS_SOURCE}), REFRESH_ROLE)
OPERATOR = "AROAOPERATOROPERATOR1:ada@acme.example"
FETCHED = envelope.updated(b'{"user_id":"a|1","updated_at":"2026-11-22T07:00:00.000Z"}', NOW)


def sent(sender: str | None, *events: str | Json) -> list[Json]:
    """Return SQS records of one sender; without a sender, as an invocation has them."""
    found = records(*events)
    for record in found:
        record["attributes"].pop("SenderId", None)
        if sender is not None:
            record["attributes"]["SenderId"] = sender
    return found


def outcome(batch: Batch) -> list[str]:
    return [failure.error.reason for failure in batch.unread] + sorted(batch.newest)


def from_source(event: str | Json, source: str) -> str:
    return json.dumps((json.loads(event) if isinstance(event, str) else event) | {"source": source})


@pytest.mark.parametrize("event", [updated(user("a|1")), deleted("a|1"), streamed("user.updated", user("a|1"))])
@pytest.mark.parametrize("sender", ["AIDAEVENTBRIDGE", OPERATOR, None])
def test_events_of_the_deployments_own_streams_are_believed_whoever_puts_them_back(
    event: Json, sender: str | None
) -> None:
    assert outcome(collect(sent(sender, event), senders=SENDERS)) == ["a|1"]


FOREIGN = [
    "",
    "attacker/auth0.logs",
    "aws.partner/auth0.com/another-tenant/auth0.logs",
    DEFAULT_SOURCE + "x",
    DEFAULT_SOURCE.upper(),
    "auth0.logs",
    "auth0-sync",
    "Auth0-Sync/refresh",
]


@pytest.mark.parametrize("source", FOREIGN)
def test_a_principal_who_can_send_to_the_queue_cannot_make_up_a_source(source: str) -> None:
    forged = [from_source(event, source) for event in (updated(user("a|1")), deleted("a|1"), FETCHED)]
    batch = collect(sent(OPERATOR, *forged), senders=SENDERS)
    assert outcome(batch) == ["ForeignSource"] * 3


def test_the_refresh_may_send_users_and_deletions_in_its_own_name() -> None:
    gone = envelope.deleted("a|2", NOW)
    assert outcome(collect(sent(f"{REFRESH_ROLE}:auth0-sync-prod-refresh", FETCHED, gone), senders=SENDERS)) == [
        "a|1",
        "a|2",
    ]


FORGED_BY_REFRESH = {
    "an event of Auth0": text(updated(user("a|1"))),
    "a deletion of Auth0": text(deleted("a|1")),
    "an event of an Event Stream": text(streamed("user.updated", user("a|1"))),
    "a log with an actor, in its own name": from_source(updated(user("a|1")), envelope.SOURCE),
    "the smoke test's user": synthetic.created(synthetic.SOURCE, NOW).body,
    "a restored row": stored_user("restore", StoredUser("a|1", f"{MOMENT}.1.{MOMENT}.x", "auth0.logs", "e", False,
                                                        '{"user_id":"a|1"}')),
    "a user of several changes, in its own name": stored_user("restore", StoredUser(
        "a|1", f"{MOMENT}.1.{MOMENT}.x", "refresh", "e", False,
        f'{{"user_id":"a|1","updated_at":"{MOMENT}"}}', '{"whole":"9","keys":{}}')),
}  # fmt: skip


@pytest.mark.parametrize("forged", FORGED_BY_REFRESH)
def test_a_taken_over_refresh_cannot_speak_for_anybody_else(forged: str) -> None:
    event = FORGED_BY_REFRESH[forged]
    assert outcome(collect(sent(f"{REFRESH_ROLE}:x", event), senders=SENDERS)) == ["ForeignSender"]
    invoked = Senders(SENDERS.sources, REFRESH_ROLE, only_refresh=True)
    assert outcome(collect(sent(None, event), senders=invoked)) == ["ForeignSender"]
    assert outcome(collect(sent(OPERATOR, event), senders=invoked)) == ["ForeignSender"]


def test_an_invocation_by_the_refresh_may_carry_the_users_that_it_fetched() -> None:
    invoked = Senders(SENDERS.sources, REFRESH_ROLE, only_refresh=True)
    assert outcome(collect(sent(None, FETCHED), senders=invoked)) == ["a|1"]


@pytest.mark.parametrize("body", [FETCHED, synthetic.created(synthetic.SOURCE, NOW).body])
@pytest.mark.parametrize("sender", [OPERATOR, None])
def test_operators_may_send_the_projects_own_events(body: str, sender: str | None) -> None:
    assert len(collect(sent(sender, body), senders=SENDERS).newest) == 1


def test_a_signal_that_the_refresh_deferred_stores_nothing() -> None:
    batch = collect(sent(REFRESH_ROLE, envelope.signal("a|1", Deferred(1))), senders=SENDERS)
    assert (batch.newest, batch.unread) == ({}, [])


def test_without_a_refresh_no_sender_is_special() -> None:
    senders = Senders(SENDERS.sources)
    assert outcome(collect(sent("", updated(user("a|1"))), senders=senders)) == ["a|1"]
    assert outcome(collect(sent(None, call("get", "/api/v2/clients")), senders=senders)) == []
