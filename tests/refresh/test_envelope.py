import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.auth0 import envelope
from pipeline.auth0.envelope import Deferred
from pipeline.changes import Signal, Snapshot, Tombstone, read

from .management_api import user
from .support import login

MOMENT = datetime(2026, 3, 4, 5, 6, 7, 89_123, tzinfo=UTC)


def test_a_fetched_user_is_read_as_a_snapshot_with_the_same_bytes() -> None:
    body = user("samlp|conn|a/b c")
    (snapshot,) = read(envelope.updated(body, MOMENT))
    assert isinstance(snapshot, Snapshot)
    assert bytes(snapshot.profile) == body
    assert (snapshot.user_id, snapshot.source) == ("samlp|conn|a/b c", "refresh")
    assert snapshot.version.startswith("2023-07-11T16:30:53.231000Z.1.2026-03-04T05:06:07.089000Z.")


def test_a_user_that_is_gone_is_read_as_a_tombstone() -> None:
    (tombstone,) = read(envelope.deleted("auth0|ada", MOMENT))
    assert isinstance(tombstone, Tombstone)
    assert (tombstone.user_id, tombstone.source) == ("auth0|ada", "refresh")
    assert tombstone.deleted_at == "2026-03-04T05:06:07.089000Z"


def test_the_envelope_is_eventbridges() -> None:
    message = json.loads(envelope.updated(user(), MOMENT))
    detail = message.pop("detail")
    assert message == {
        "version": "0",
        "id": message["id"],
        "detail-type": "auth0-sync refresh",
        "source": "auth0-sync/refresh",
        "time": "2026-03-04T05:06:07Z",
    }
    assert (detail["type"], detail["time"]) == ("user.updated", "2026-03-04T05:06:07.089Z")
    assert set(detail) == {"id", "type", "time", "data"}


def test_every_message_has_an_id_of_its_own() -> None:
    ids = {json.loads(envelope.updated(user(), MOMENT))["detail"]["id"] for _ in range(20)}
    assert len(ids) == 20


@given(user_id=st.text(min_size=1).filter(str.isprintable).filter(lambda text: len(text.encode()) < 1000))
def test_a_deferred_signal_is_a_signal_that_remembers(user_id: str) -> None:
    body = envelope.signal(user_id, Deferred(1_700_000_000_123, 4))
    if "\ufffd" not in user_id:
        assert read(body) == (Signal(user_id, "user.updated"),)
    assert envelope.deferral(body) == Deferred(1_700_000_000_123, 4)


OTHERS = [
    login(),
    login("auth0-sync/refresh"),
    envelope.updated(user(), MOMENT),
    envelope.signal("auth0|ada", Deferred(1)).replace("auth0-sync/refresh", "another/refresh"),
    envelope.signal("auth0-sync/refresh", Deferred(1)).replace("auth0-sync/refresh", "another/refresh", 1),
    "auth0-sync/refresh",
    "\ud800auth0-sync/refresh",
]


@pytest.mark.parametrize("body", OTHERS)
def test_other_messages_remember_nothing(body: str) -> None:
    assert envelope.deferral(body) is None


def test_what_sqs_refuses_in_a_message_is_escaped_and_reads_the_same() -> None:
    body = json.dumps(
        {"user_id": "auth0|ada", "updated_at": "2023-07-11T16:30:53Z", "x\uffff": "\ufffe"}, ensure_ascii=False
    )
    message = envelope.updated(body.encode(), MOMENT)
    assert not {"\ufffe", "\uffff"} & set(message)
    assert json.loads(message)["detail"]["data"]["object"] == json.loads(body)
