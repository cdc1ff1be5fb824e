"""Rate limiting, retries and deadlines for Management API calls."""

import time
from collections.abc import Callable
from typing import Protocol

from pipeline.auth0.api import Fetched, Gone
from pipeline.auth0.errors import Auth0Down, Later, OutOfTime, RateLimited

ATTEMPTS = 3
PAUSE = 0.5
"""Seconds before the second attempt for a user; doubled before the third."""
LONGEST_PAUSE = 10.0
"""Longest wait for a rate limit inside the function, in seconds; the queue waits longer ones, at no cost."""
LEAST_TIME = 1.0
"""Seconds that must be left to send a request."""


class Api(Protocol):
    """The client that fetches users, such as ``pipeline.auth0.api.ManagementApi``."""

    def user(self, user_id: str, deadline: float) -> Fetched | Gone:
        """Fetch a user before ``deadline``, by the clock of this module."""
        ...


class Fetcher:
    """Fetch users at most ``rate`` times a second: a token bucket that holds one token.

    It lives as long as the execution environment, so that rate and limits hold from one batch to the next.
    """

    def __init__(
        self,
        api: Api,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        pause: float = PAUSE,
    ) -> None:
        self._api = api
        self._interval = 1 / rate
        self._clock = clock
        self._sleep = sleep
        self._pause = pause
        self._next = 0.0
        self._limited_until = 0.0

    def fetch(self, user_id: str, deadline: float) -> Fetched | Gone:
        """Fetch a user, in up to ``ATTEMPTS`` requests; ``deadline`` is a value of the clock.

        Raises the API's errors, and ``OutOfTime`` if the deadline comes before the user's turn.
        """
        failure: Later | None = None
        for attempt in range(ATTEMPTS):
            if not self._turn_came(deadline):
                break
            try:
                return self._api.user(user_id, deadline)
            except RateLimited as error:
                failure = error
                self._limited_until = self._clock() + error.wait
            except Auth0Down as error:
                failure = error
                self._next = max(self._next, self._clock() + self._pause * 2**attempt)
        raise failure or OutOfTime

    def _turn_came(self, deadline: float) -> bool:
        """Wait for the next request's turn; return whether it came before the deadline."""
        now = self._clock()
        limited = self._limited_until - now
        if limited > 0 and (limited > LONGEST_PAUSE or now + limited + LEAST_TIME > deadline):
            raise RateLimited("not asked again before the limit ends", limited)
        turn = max(now, self._next, self._limited_until)
        if turn + LEAST_TIME > deadline:
            return False
        if turn > now:
            self._sleep(turn - now)
        self._next = turn + self._interval
        return True
