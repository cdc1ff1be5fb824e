"""Auth0 for a command, by the credentials of the environment."""

import re
import time
from collections.abc import Callable, Iterable
from typing import Final

from pipeline.auth0.api import Fetch, Fetched, Gone, ManagementApi
from pipeline.auth0.credentials import credentials
from pipeline.auth0.errors import RateLimited
from pipeline.auth0.fetcher import Fetcher
from pipeline.auth0.management import Management
from pipeline.auth0.settings import Auth0
from pipeline.errors import CommandError

SECONDS: Final = 60.0
"""Seconds for the requests about one user."""
_SOURCE: Final = re.compile(r"aws\.partner/auth0\.com/(.+?)-(?:\w{8}-\w{4}-\w{4}-\w{4}-\w{12}|[^-/]+)/.*", re.ASCII)
"""Name of an event source: the tenant's name or its domain, a hyphen, and an id. Names of tenants have hyphens, too."""


def settings(log_stream_source: str) -> Auth0:
    """Return the tenant of the environment. Raises CommandError if the deployment mirrors another tenant.

    ``log_stream_source`` is the deployment's event source, or empty. A private cloud's domain does not name the tenant.
    """
    found = Auth0.from_env()
    if log_stream_source and found.tenant:
        match = _SOURCE.fullmatch(log_stream_source)
        mirrored = match[1].lower() if match else ""
        if mirrored not in (found.tenant, found.domain.lower()):
            raise CommandError(
                f"AUTH0_DOMAIN is {found.domain}, but the deployment mirrors the tenant of {log_stream_source}. "
                "Nothing was read or sent: check AUTH0_DOMAIN, and `auth0-sync env`."
            )
    return found


def management(auth0: Auth0, scopes: Iterable[str], tell: Callable[[str], None]) -> Management:
    """Sign in, and return the Management API. Raises Auth0Error, such as MissingScopes."""
    api = Management(auth0, credentials(auth0), tell=tell)
    api.require(scopes)
    return api


def fetch_at(rate: float) -> Fetch:
    """Return a function that fetches users, at most ``rate`` a second; it waits for rate limits, however long.

    The function raises the errors of ``Fetcher.fetch`` but RateLimited.
    """
    auth0 = Auth0.from_env()
    fetcher = Fetcher(ManagementApi(auth0, credentials(auth0)), rate)

    def fetch(user_id: str) -> Fetched | Gone:
        while True:
            try:
                return fetcher.fetch(user_id, time.monotonic() + SECONDS)
            except RateLimited as error:
                time.sleep(error.wait)

    return fetch
