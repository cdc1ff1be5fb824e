"""Events of our own: who sent them, when, and a user byte for byte."""

import json
from typing import Any

import pytest

from pipeline.changes import Meaning, Snapshot, Tombstone, read
from pipeline.delivery.envelope import envelope, own_event, own_source, user_event
from tests.strategies import text, updated, user

TIME = "2026-03-04T05:06:07.089Z"


def only(body: str) -> Meaning:
    [meaning] = read(body)
    return meaning


@pytest.mark.parametrize("sender", ["refresh", "doctor", "backfill"])
def test_event_says_who_sent_it_and_when(sender: str) -> None:
    event = json.loads(own_event(sender, {"data": 1}, TIME))
    assert (event["source"], event["detail-type"]) == (f"auth0-sync/{sender}", f"auth0-sync {sender}")
    assert (event["time"], event["detail"]) == ("2026-03-04T05:06:07Z", {"data": 1})
    assert event["id"] != json.loads(own_event(sender, {}, TIME))["id"]


def test_source_of_the_stored_row_may_stand_in_place_of_the_senders() -> None:
    profile = text(user()).encode()
    change = only(user_event("restore", "user.updated", profile, TIME, event_id="e", source=own_source("auth0.logs")))
    assert isinstance(change, Snapshot)
    assert (change.source, change.event_id) == ("auth0.logs", "e")


def test_user_is_copied_byte_for_byte() -> None:
    profile = b'{ "user_id": "auth0|ada", "updated_at":"2026-01-01T00:00:00Z", "n": 1.50e+400, "x": "\\u00e9\xc3\xa9" }'
    change = only(user_event("refresh", "user.updated", profile, TIME))
    assert isinstance(change, Snapshot)
    assert bytes(change.profile) == profile


def test_deletion_is_a_tombstone_and_further_fields_stay_in_the_detail() -> None:
    gone = json.dumps({"user_id": "auth0|ada", "deleted_at": TIME}).encode()
    body = user_event("refresh", "user.deleted", gone, TIME, note={"tries": 2})
    assert isinstance(only(body), Tombstone)
    assert json.loads(body)["detail"]["note"] == {"tries": 2}


def test_detail_of_another_form_is_read_as_that_form() -> None:
    log: Any = updated(user("auth0|ada"))
    change = only(own_event("doctor", log["detail"], TIME))
    assert isinstance(change, Snapshot)
    assert (change.user_id, change.source) == ("auth0|ada", "doctor")


def test_character_that_sqs_refuses_is_escaped() -> None:
    body = envelope("auth0-sync/x", "x", {"text": "\ufffe\uffff"}, TIME)
    assert "\uffff" not in body
    assert json.loads(body)["detail"] == {"text": "\ufffe\uffff"}
