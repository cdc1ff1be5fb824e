"""The state that a sync must reach after a stream, computed from the generator's changes."""

from collections import Counter
from dataclasses import replace
from datetime import datetime

from devstack.traffic.events import Change, Event
from devstack.traffic.profiles import Json

_Order = tuple[datetime, bool, datetime, str]


class ExpectedState:
    """The newest change of each user, independent of the order of ``observe`` calls.

    It uses only the generator's own facts about each event and no code of the pipeline, so that the two can disagree.
    The order is the documented one: version, then a deletion over an update, then the log's date, then its id.

    :param keep_log_ids: whether to remember the id of every log (56 characters each).
    """

    def __init__(self, *, keep_log_ids: bool = True) -> None:
        self.counts: Counter[str] = Counter()  #: deliveries by kind
        self.types: Counter[str] = Counter()  #: deliveries by Auth0's log type
        self.late = 0  #: delayed deliveries
        self.log_ids: set[str] = set()  #: every log put, once
        self._keep_log_ids = keep_log_ids
        self._newest: dict[str, tuple[_Order, Change]] = {}

    def observe(self, event: Event) -> None:
        """Count one delivery and keep its change if it is the newest of its user."""
        self.counts[event.kind] += 1
        self.types[event.detail["data"]["type"]] += 1
        self.late += event.late
        if self._keep_log_ids:
            self.log_ids.add(event.log_id)
        change = event.change
        if change is None:
            return
        order = (change.version, change.user is None, change.date, event.log_id)
        known = self._newest.get(change.user_id)
        if known is None or order > known[0]:
            self._newest[change.user_id] = (order, change)

    def forget(self, user_id: str) -> None:
        """Forget a user, as if no event had named it; ``observe`` then counts from here."""
        self._newest.pop(user_id, None)

    def edit(self, user_id: str, user: Json) -> None:
        """Replace a user as an operator does in a store: its version stays, so only a newer event overwrites it."""
        order, change = self._newest[user_id]
        self._newest[user_id] = order, replace(change, user=user)

    @property
    def live(self) -> dict[str, Json]:
        """Return the users that exist, by id, each as of its last change."""
        return {user_id: change.user for user_id, (_, change) in self._newest.items() if change.user is not None}

    @property
    def deleted(self) -> dict[str, datetime]:
        """Return the deleted users, by id, with the time of the deletion."""
        return {user_id: change.version for user_id, (_, change) in self._newest.items() if change.user is None}

    @property
    def put(self) -> int:
        """Return the number of deliveries so far."""
        return self.counts.total()
