"""Batches as Lambda gets them: updates of distinct users, each newer than the batch before, about 4.5 KB an event."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from devstack.traffic import Event, envelope, sqs_record
from devstack.traffic.logs import user_updated
from devstack.traffic.profiles import connection_for, moment, new_profile, timestamp
from devstack.traffic.seeded_random import SeededRandom
from pipeline.changes import read

Records = list[dict[str, Any]]
_START = 1_790_000_000_000  # milliseconds; any moment will do


class Users:
    """``count`` users of whom ``batch`` gives the next update; the same for the same seed."""

    def __init__(self, count: int, seed: int = 1) -> None:
        self._dice = SeededRandom(seed)
        self._profiles = [self._profile(number) for number in range(count)]
        self._turn = itertools.cycle(range(count))
        self._now = itertools.count(_START, 1000)

    def __len__(self) -> int:
        return len(self._profiles)

    def batch(self, size: int) -> Records:
        """SQS records with an update of each of the next ``size`` users."""
        now = next(self._now)
        return [self._record(self._profiles[next(self._turn)], now) for _ in range(size)]

    def everyone(self, size: int = 1000) -> Iterator[Records]:
        """One update of every user, in batches."""
        for start in range(0, len(self), size):
            yield self.batch(min(size, len(self) - start))

    def _profile(self, number: int) -> dict[str, Any]:
        """A user whose changes are whole; one in five is not plain ASCII.

        The generator's own users nearly all are not, to be hard to store, and of a hundred one looks masked.
        """
        while True:
            profile = new_profile(self._dice, connection_for(self._dice), number, _START - 86_400_000)
            plain = number % 5 == 0 or json.dumps(profile, ensure_ascii=False).isascii()
            if plain and len(read(self._record(profile, _START)["body"])) == 1:
                return profile

    def _record(self, profile: dict[str, Any], now: int) -> dict[str, Any]:
        profile = profile | {"updated_at": timestamp(now)}
        log_id = f"900{self._dice.digits(53)}"
        data = user_updated(self._dice, now + 10, log_id, profile, {"user_metadata": profile.get("user_metadata", {})})
        detail = {"log_id": log_id, "data": data}
        event = Event(detail=detail, time=moment(now + 500), kind="update", user_id=profile["user_id"])
        return sqs_record(envelope(event), f"message-{log_id[-20:]}")
