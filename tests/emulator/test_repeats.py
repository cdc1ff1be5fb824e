"""An SDK that gets no answer repeats its request, and must not meet what its first attempt has made."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator.support import Aws, name

pytestmark = pytest.mark.emulator


def create(aws: Aws, bus: str, invocation: str) -> Any:
    """Create a bus as an attempt of an invocation."""
    events = aws.client("events")

    def attempt(request: Any, **_: Any) -> None:
        request.headers["amz-sdk-invocation-id"] = invocation

    events.meta.events.register("before-send.events.CreateEventBus", attempt)
    return events.create_event_bus(Name=bus)


def test_another_attempt_gets_the_answer_of_the_first(aws: Aws) -> None:
    bus = name("bus")
    first, second = create(aws, bus, f"{bus}-1"), create(aws, bus, f"{bus}-1")
    assert first["EventBusArn"] == second["EventBusArn"]


def test_another_invocation_meets_what_the_first_has_made(aws: Aws) -> None:
    bus = name("bus")
    create(aws, bus, f"{bus}-1")
    for _ in range(2):  # a refusal is not kept
        with pytest.raises(ClientError, match="ResourceAlreadyExists"):
            create(aws, bus, f"{bus}-2")
