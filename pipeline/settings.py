"""Read settings from the environment once, into frozen structures; errors name the variable."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from typing import Final, Literal
from urllib.parse import urlsplit

from pipeline.errors import BadSettings, NotSet

Sink = Literal["postgres", "dynamodb"]


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise NotSet(f"{name} is not set")
    return value


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by its name or address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_safe(url: str) -> bool:
    """Return whether a secret may be sent to ``url``: encrypted, or without leaving this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    return (parts.scheme == "https" and bool(host)) or (parts.scheme == "http" and is_loopback(host))


def sink(env: Mapping[str, str] = os.environ) -> Sink:
    """Return the store that this function writes to: ``SINK``."""
    match _required(env, "SINK"):
        case "postgres":
            return "postgres"
        case "dynamodb":
            return "dynamodb"
        case other:
            raise BadSettings(f"SINK is {other!r}, not 'postgres' or 'dynamodb'")


def users_table(env: Mapping[str, str] = os.environ) -> str:
    """Return the name of the DynamoDB table: ``USERS_TABLE``."""
    return _required(env, "USERS_TABLE")


def query_secret(env: Mapping[str, str] = os.environ) -> str:
    """Return the ARN of the secret with the sign-in of ``auth0_query``: ``QUERY_SECRET_ARN``."""
    return _required(env, "QUERY_SECRET_ARN")


def history(env: Mapping[str, str] = os.environ) -> bool:
    """Return whether Postgres keeps every version of the metadata in ``auth0.user_history``: ``HISTORY``, on or off."""
    return _switch(env, "HISTORY", default=False)


def protect_data(env: Mapping[str, str] = os.environ) -> bool:
    """Return whether the deployment refuses to take migrations back: ``PROTECT_DATA``, on or off; on by default."""
    return _switch(env, "PROTECT_DATA", default=True)


def _switch(env: Mapping[str, str], name: str, *, default: bool) -> bool:
    match env.get(name, ""):
        case "":
            return default
        case "off":
            return False
        case "on":
            return True
        case other:
            raise BadSettings(f"{name} is {other!r}, not 'on' or 'off'")


def event_sources(env: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Return the partner event sources whose events a sink believes: ``EVENT_SOURCES``, separated by commas."""
    return frozenset(name.strip() for name in _required(env, "EVENT_SOURCES").split(","))


def refresh_role_id(env: Mapping[str, str] = os.environ) -> str:
    """Return the unique id of the refresh's role, ``REFRESH_ROLE_ID``; empty in a deployment without refresh."""
    return env.get("REFRESH_ROLE_ID", "")


def clock_tolerance(env: Mapping[str, str] = os.environ) -> timedelta:
    """Return how far ahead a change may be dated: ``CLOCK_TOLERANCE`` in seconds, a day by default."""
    return _seconds("CLOCK_TOLERANCE", env.get("CLOCK_TOLERANCE") or "86400")


def _seconds(name: str, text: str) -> timedelta:
    if not text.isdecimal():
        raise BadSettings(f"{name} is {text!r}, not a number of seconds")
    return timedelta(seconds=int(text))


_ENCODED: Final = "%(?:[1-9A-Fa-f][0-9A-Fa-f]|0[1-9A-Fa-f])"
_HOST: Final = rf"(?:(?:[A-Za-z0-9_.-]|{_ENCODED})*|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?"
URL: Final = (
    rf"^postgres(?:ql)?://(?:(?:[^%@/?#\s]|{_ENCODED})*@)?{_HOST}(?:,{_HOST})*"
    rf"(?:/(?:[^%@/?#\s]|{_ENCODED})*)?(?:\?(?:[^%@?#\s]|{_ENCODED})*)?$"
)
"""A URL whose special characters in user and password are percent-encoded. Terraform checks the same."""

BAD_URL: Final = (
    "is not a valid URL. Percent-encode the special characters of the user and the password, such as % as %25, @ as "
    "%40, / as %2F, ? as %3F and # as %23: postgresql://USER:PASSWORD@HOST:5432/DATABASE"
)


@dataclass(frozen=True)
class Database:
    """The address of Postgres: a URL as it is, or host and user with IAM authentication. Raises ``BadSettings``."""

    url: str = field(default="", repr=False)
    host: str = ""
    port: int = 5432
    name: str = ""
    user: str = ""
    region: str = ""
    ca_file: str = ""
    """File of root certificates that verify the server, with IAM; empty for those of RDS."""

    def __post_init__(self) -> None:
        """Refuse a URL that Postgres' client library would quote in an error, with parts of the password."""
        if self.url and not re.fullmatch(URL, self.url):
            raise BadSettings(f"DATABASE_URL {BAD_URL}")

    @property
    def iam(self) -> bool:
        """Return whether each connection signs in with an IAM token in place of a password."""
        return not self.url

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Database":
        """Read ``DATABASE_URL``, or else ``PGHOST``, ``PGPORT``, ``PGDATABASE``, ``PGUSER`` and ``AWS_REGION``.

        With these also ``PGSSLROOTCERT``, which a URL contains itself.
        """
        if url := env.get("DATABASE_URL", ""):
            return cls(url=url)
        if not env.get("PGHOST"):
            raise NotSet("neither DATABASE_URL nor PGHOST is set")
        port = env.get("PGPORT") or "5432"
        if not port.isdecimal():
            raise BadSettings(f"PGPORT is {port!r}, not a number")
        return cls(
            host=_required(env, "PGHOST"),
            port=int(port),
            name=_required(env, "PGDATABASE"),
            user=_required(env, "PGUSER"),
            region=_required(env, "AWS_REGION"),
            ca_file=env.get("PGSSLROOTCERT", ""),
        )


@dataclass(frozen=True)
class Cluster:
    """An Aurora cluster as the RDS Data API reaches it, with the secret of a login."""

    arn: str
    secret_arn: str
    database: str

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ, *, as_master: bool = False) -> "Cluster":
        """Read ``CLUSTER_ARN``, ``PGDATABASE`` and ``QUERY_SECRET_ARN``, or ``MASTER_SECRET_ARN`` for the master."""
        return cls(
            arn=_required(env, "CLUSTER_ARN"),
            secret_arn=_required(env, "MASTER_SECRET_ARN" if as_master else "QUERY_SECRET_ARN"),
            database=_required(env, "PGDATABASE"),
        )


@dataclass(frozen=True)
class Watch:
    """The questions of the watch, the table of its findings, and the topic to which it sends them."""

    questions: Mapping[str, Mapping[str, str]]
    """Name of a question to its parameters."""
    window_days: int
    database: str
    workgroup: str
    memory_table: str
    topic_arn: str
    deployment: str
    env: str
    """The name by which the commands know the deployment."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Watch":
        """Read the settings. ``WATCH_QUESTIONS`` is JSON, ``{"mfa_weakened": {}, "admin_actions": {"admin": "…"}}``."""
        window_days = _days(env, "WATCH_WINDOW_DAYS")
        try:
            questions = json.loads(_required(env, "WATCH_QUESTIONS"))
        except ValueError:
            raise BadSettings("WATCH_QUESTIONS is not JSON") from None
        return cls(
            questions={name: {key: str(value) for key, value in given.items()} for name, given in questions.items()},
            window_days=window_days,
            database=_required(env, "ATHENA_DATABASE"),
            workgroup=_required(env, "ATHENA_WORKGROUP"),
            memory_table=_required(env, "MEMORY_TABLE"),
            topic_arn=_required(env, "TOPIC_ARN"),
            deployment=_required(env, "DEPLOYMENT"),
            env=_required(env, "ENV"),
        )


@dataclass(frozen=True)
class Manifests:
    """The archive that the manifests describe, and the key that signs them."""

    deployment: str
    bucket: str
    prefix: str
    error_prefix: str
    key_arn: str
    expire_after_days: int | None
    """Days after which the archive's objects are deleted; None keeps them."""
    lock_days: int | None
    """Days for which each listed object is locked; None locks none."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Manifests":
        """Read the settings. Empty ``EXPIRE_AFTER_DAYS`` and ``LOCK_DAYS`` are None."""
        return cls(
            deployment=_required(env, "DEPLOYMENT"),
            bucket=_required(env, "ARCHIVE_BUCKET"),
            prefix=_required(env, "ARCHIVE_PREFIX"),
            error_prefix=_required(env, "ARCHIVE_ERROR_PREFIX"),
            key_arn=_required(env, "MANIFEST_KEY_ARN"),
            expire_after_days=_optional_days(env, "EXPIRE_AFTER_DAYS"),
            lock_days=_optional_days(env, "LOCK_DAYS"),
        )


@dataclass(frozen=True)
class Comparison:
    """The reconcile function's two stores, and the options of its comparison."""

    database: Database
    table: str
    lag: timedelta
    """Time for which a change may be in a queue."""
    contents: bool
    """True if the comparison includes all values."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Comparison":
        """Read the settings: those of ``Database``, ``USERS_TABLE``, ``RECONCILE_LAG`` and ``RECONCILE_CONTENTS``."""
        return cls(
            database=Database.from_env(env),
            table=users_table(env),
            lag=_seconds("RECONCILE_LAG", _required(env, "RECONCILE_LAG")),
            contents=_switch(env, "RECONCILE_CONTENTS", default=True),
        )


def _days(env: Mapping[str, str], name: str) -> int:
    text = _required(env, name)
    if not text.isdecimal() or text == "0":
        raise BadSettings(f"{name} is {text!r}, not a number of days")
    return int(text)


def _optional_days(env: Mapping[str, str], name: str) -> int | None:
    return _days(env, name) if env.get(name) else None
