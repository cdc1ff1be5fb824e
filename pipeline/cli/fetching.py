"""Fetch single users from Auth0 for a command, by the credentials of the environment."""

import time
from collections.abc import Callable
from typing import Final

from pipeline.auth0.api import Fetched, Gone, ManagementApi
from pipeline.auth0.credentials import credentials
from pipeline.auth0.errors import RateLimited
from pipeline.auth0.fetcher import Fetcher
from pipeline.auth0.settings import Auth0

SECONDS: Final = 60.0
"""Seconds for the requests about one user."""


def fetch_at(rate: float) -> Callable[[str], Fetched | Gone]:
    """Return a function that fetches users, at a rate; it waits as long as Auth0 demands."""
    settings = Auth0.from_env()
    fetcher = Fetcher(ManagementApi(settings, credentials(settings)), rate)

    def fetch(user_id: str) -> Fetched | Gone:
        while True:
            try:
                return fetcher.fetch(user_id, time.monotonic() + SECONDS)
            except RateLimited as error:
                time.sleep(error.wait)

    return fetch
