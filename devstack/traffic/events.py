"""The generator's events: one delivery of one log, with the facts about it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from devstack.traffic.profiles import Json

Kind = Literal["create", "update", "delete", "login", "other", "duplicate", "malformed"]


@dataclass(frozen=True, slots=True)
class Change:
    """The change of a user by a log, as the generator made it.

    :param version: `updated_at` of the user, or the time of the deletion.
    :param date: time at which Auth0 wrote the log; the later one wins between equal versions.
    :param user: the whole user after the change; None if deleted.
    """

    user_id: str
    version: datetime
    date: datetime
    user: Json | None


@dataclass(frozen=True, slots=True)
class Event:
    """One delivery. Parts of `detail` are shared between events: do not change it in place.

    :param detail: EventBridge's ``detail``: {"log_id": …, "data": …}.
    :param time: time of the delivery; never the time of the change.
    :param kind: "duplicate" is one more delivery of a log, before or after its own.
    :param user_id: the user it is about, or None.
    :param attempt: 0 for the log's own delivery, 1 for the second.
    :param late: whether it is delayed, so that later logs overtake it.
    :param change: its change of a user, if any. A duplicate repeats it.
    """

    detail: Json
    time: datetime
    kind: Kind
    user_id: str | None
    attempt: int = 0
    late: bool = False
    change: Change | None = None
    detail_type: str = "Auth0 log"

    @property
    def log_id(self) -> str:
        """Return Auth0's id of the log, the same in each of its deliveries."""
        return str(self.detail["log_id"])
