"""Settings of the Management API client and the refresh, from the environment; errors name the variable."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.errors import BadSettings
from pipeline.settings import is_safe

DEFAULT_RATE = 2.0
DEFAULT_MAX_AGE = 4 * 24 * 3600

_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+", re.IGNORECASE)


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise BadSettings(f"{name} is not set")
    return value


def _positive(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name) or str(default)
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise BadSettings(f"{name} is {text!r}, not a number above 0")
    return number


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


@dataclass(frozen=True)
class Auth0:
    """A tenant, and its machine-to-machine application with the Management API grant ``read:users``."""

    domain: str
    """The tenant's own domain such as ``acme.eu.auth0.com``; a custom domain has no Management API token."""
    base_url: str
    client_id: str = ""
    """May be empty if the secret in AWS Secrets Manager holds it."""
    client_secret: str = field(default="", repr=False)
    client_secret_arn: str = ""

    @property
    def tenant(self) -> str:
        """Return the tenant's name, or an empty text for a private cloud, whose domains do not tell it."""
        return self.domain.lower().partition(".")[0] if self.domain.lower().endswith(".auth0.com") else ""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Auth0":
        """Read ``AUTH0_DOMAIN``, ``AUTH0_CLIENT_ID`` and ``AUTH0_CLIENT_SECRET_ARN``, or ``AUTH0_CLIENT_SECRET``.

        ``AUTH0_BASE_URL`` replaces ``https://<domain>``, for a test server: by HTTPS, or on this machine.
        """
        domain = _required(env, "AUTH0_DOMAIN")
        if not _HOST.fullmatch(domain):
            raise BadSettings(f"AUTH0_DOMAIN is {domain!r}, not a host name such as 'acme.eu.auth0.com'")
        base_url = (env.get("AUTH0_BASE_URL") or f"https://{domain}").rstrip("/")
        if not is_safe(base_url):
            raise BadSettings("AUTH0_BASE_URL must begin with https://, or with http:// and a loopback address")
        secret, arn = env.get("AUTH0_CLIENT_SECRET", ""), env.get("AUTH0_CLIENT_SECRET_ARN", "")
        if not (secret or arn):
            raise BadSettings("neither AUTH0_CLIENT_SECRET_ARN nor AUTH0_CLIENT_SECRET is set")
        return cls(
            domain=domain,
            base_url=base_url,
            client_id=env.get("AUTH0_CLIENT_ID", "") if arn and not secret else _required(env, "AUTH0_CLIENT_ID"),
            client_secret=secret,
            client_secret_arn="" if secret else arn,
        )


@dataclass(frozen=True)
class Refresh:
    """Settings of the refresh function."""

    queue_url: str
    """The function's own queue, to which it sends deferred signals."""
    sink_queue_urls: tuple[str, ...]
    rate: float = DEFAULT_RATE
    """Requests per second of one execution environment: two environments send twice as many."""
    max_age: float = DEFAULT_MAX_AGE
    """Seconds for which the function defers a signal before it fails."""
    sink_functions: tuple[str, ...] = ()
    """The function behind each of ``sink_queue_urls``, for users too large for a queue; without one, these fail."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Refresh":
        """Read ``REFRESH_QUEUE_URL``, ``SINK_QUEUE_URLS`` (separated by commas), ``REFRESH_RATE``, ``REFRESH_MAX_AGE``.

        ``SINK_FUNCTIONS`` has as many names as ``SINK_QUEUE_URLS``, in the same order, or is not set.
        """
        sinks = _names(_required(env, "SINK_QUEUE_URLS"))
        functions = _names(env.get("SINK_FUNCTIONS", ""))
        if not sinks:
            raise BadSettings("SINK_QUEUE_URLS names no queue")
        if functions and len(functions) != len(sinks):
            raise BadSettings(f"SINK_FUNCTIONS names {len(functions)} functions for {len(sinks)} queues")
        return cls(
            queue_url=_required(env, "REFRESH_QUEUE_URL"),
            sink_queue_urls=sinks,
            sink_functions=functions,
            rate=_positive(env, "REFRESH_RATE", DEFAULT_RATE),
            max_age=_positive(env, "REFRESH_MAX_AGE", DEFAULT_MAX_AGE),
        )
