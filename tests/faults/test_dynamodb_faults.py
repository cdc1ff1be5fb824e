"""DynamoDB in trouble: the real function and client, through a proxy that throttles, fails, loses and delays puts."""

import threading

import pytest

from pipeline.errors import StoreBusy
from pipeline.sinks.dynamodb_requests import READ_TIMEOUT
from tests.emulator.support import wait_for
from tests.faults.conftest import Items
from tests.faults.support import NEW, OLD, Fault, FlakyDynamoDB, names, running, updates
from tests.invoking import Function
from tests.strategies import deleted, records

THROTTLED = Fault(400, "ProvisionedThroughputExceededException")
FAILING = Fault(500, "InternalServerError")
ATTEMPTS = 4
"""The client's own, of one put."""


@pytest.mark.parametrize(
    "fault", [THROTTLED, Fault(400, "ThrottlingException"), FAILING, Fault(503, "ServiceUnavailable")]
)
def test_a_short_trouble_is_not_seen(
    dynamodb_function: Function, items: Items, proxy: FlakyDynamoDB, fault: Fault
) -> None:
    proxy.rule = lambda put: fault if put.attempt < ATTEMPTS else Fault()
    assert dynamodb_function(*updates(NEW)) == []
    assert items.names == names(NEW)
    assert dynamodb_function.logged("batch")[-1]["applied"] == 20


@pytest.mark.parametrize(("fault", "reason"), [(THROTTLED, "StoreBusy"), (FAILING, "StoreBusy")])
def test_a_few_items_that_fail_come_again_alone(
    dynamodb_function: Function, items: Items, proxy: FlakyDynamoDB, fault: Fault, reason: str
) -> None:
    assert dynamodb_function(*updates(OLD)) == []
    proxy.rule = lambda put: fault if put.user_id in ("a|0003", "a|0017") else Fault()
    batch = updates(NEW)
    # Messages of a user share the fate of the newest, whatever they say themselves.
    assert dynamodb_function(*batch, updates(OLD)[3]) == ["m3", "m20", "m17"]
    assert items.names == names(NEW) | {"a|0003": OLD, "a|0017": OLD}
    assert {line["reason"] for line in dynamodb_function.logged("message not stored")} == {reason}
    counts = dynamodb_function.logged("batch")[-1]
    assert (counts["poison"], counts["retried"]) == (0, 3)
    proxy.rule = lambda put: Fault()
    assert (
        dynamodb_function.invoke([record for record in records(*batch) if record["messageId"] in ("m3", "m17")]) == []
    )
    assert items.names == names(NEW)


def test_a_table_that_is_throttled_as_a_whole_fails_the_batch(
    dynamodb_function: Function, items: Items, proxy: FlakyDynamoDB
) -> None:
    proxy.rule = lambda put: THROTTLED
    with pytest.raises(StoreBusy):
        dynamodb_function(*updates(NEW), "not JSON")
    assert set(proxy.attempts.values()) == {ATTEMPTS}
    proxy.rule = lambda put: Fault()
    assert dynamodb_function(*updates(NEW), "not JSON") == ["m20"]
    assert items.names == names(NEW)


def test_a_put_whose_answer_is_lost_is_its_own_duplicate(
    dynamodb_function: Function, items: Items, proxy: FlakyDynamoDB
) -> None:
    proxy.rule = lambda put: Fault(lose_answer=put.attempt == 1)
    assert dynamodb_function(*updates(NEW)) == []
    assert items.names == names(NEW)
    counts = dynamodb_function.logged("batch")[-1]
    assert (counts["applied"], counts["duplicate"], counts["stale"], counts["retried"]) == (0, 20, 0, 0)


def test_puts_that_are_done_but_never_answered_come_again(
    dynamodb_function: Function, items: Items, proxy: FlakyDynamoDB
) -> None:
    """The client gives up; what it cannot know is stored is delivered again."""
    proxy.rule = lambda put: Fault(lose_answer=put.user_id == "a|0003")
    assert dynamodb_function(*updates(NEW)) == ["m3"]
    assert items.names == names(NEW)
    proxy.rule = lambda put: Fault()
    assert dynamodb_function(updates(NEW)[3]) == []
    assert dynamodb_function.logged("batch")[-1]["duplicate"] == 1


def test_a_slow_put_holds_up_no_other_and_is_tried_again(
    dynamodb_function: Function, items: Items, proxy: FlakyDynamoDB
) -> None:
    hold = threading.Event()
    proxy.rule = lambda put: Fault(hold=hold if put == ("a|0003", 1) else None)
    with running(lambda: dynamodb_function(*updates(NEW))) as batch:
        wait_for(lambda: len(items.names) == 19)
        # The read timeout, and another attempt: less than two timeouts.
        assert batch.result(2 * READ_TIMEOUT) == []
    assert items.names == names(NEW)
    hold.set()


def test_a_put_that_arrives_after_a_newer_one_changes_nothing(
    dynamodb_function: Function, items: Items, proxy: FlakyDynamoDB
) -> None:
    """An old attempt may hang in the network while the redelivery overtakes it."""
    hold = threading.Event()
    proxy.rule = lambda put: Fault(hold=hold if put.attempt == 1 else None)
    late = [deleted("a|0000", date=OLD, log_id="gone"), updates(OLD, 2)[1]]
    with running(lambda: dynamodb_function(*late)) as old:
        wait_for(lambda: len(proxy.attempts) == 2)
        proxy.rule = lambda put: Fault()
        items.put_newer(updates(NEW, 2))
        hold.set()
        assert old.result(10) == []
    assert items.names == names(NEW, 2)
    assert dynamodb_function.logged("batch")[-1]["stale"] == 2
