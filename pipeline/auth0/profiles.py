"""Learn which fields the users of a tenant have: from Auth0's list, and from a sample of each connection.

An export has only the fields that its job names, so that a field that nobody names would be missing. `GET /users` lists
at most 1,000 users and is only eventually consistent; so it gives the sample's ids, and each user is fetched by id.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import msgspec

from pipeline.auth0.api import Fetch, Fetched
from pipeline.auth0.errors import Auth0Down, UserIdRefused
from pipeline.auth0.management import Auth0Error, Management
from pipeline.errors import CommandError
from pipeline.events import decode_deep, storable

SCOPES: Final = ("read:users", "read:connections")
SAMPLE: Final = 10
"""Users to fetch of each connection."""
EXPORTABLE: Final = (
    "app_metadata", "blocked", "created_at", "email", "email_verified", "family_name", "given_name", "identities",
    "last_ip", "last_login", "last_password_reset", "logins_count", "multifactor", "multifactor_last_modified", "name",
    "nickname", "phone_number", "phone_verified", "picture", "updated_at", "user_id", "user_metadata", "username",
)  # fmt: skip
"""Fields that Auth0's page "User Profile Structure" calls exportable."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
"""Names of fields that a job can export. By the reference, dots and brackets make a path, of at most 100 characters."""

_keys = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Connection(NamedTuple):
    """A connection, by the id that jobs take and the name that users have."""

    id: str
    name: str


class Learnt(NamedTuple):
    """The users of a sample, and their keys."""

    users: Mapping[str, bytes]
    """The JSON of each user, a line, by id."""
    keys: Mapping[str, frozenset[str]]
    """The keys of the sample's users, by connection."""

    @property
    def seen(self) -> frozenset[str]:
        """Return the keys of all users of the sample."""
        return frozenset().union(*self.keys.values())

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the fields to export: Auth0's, and those of the sample that a job can name."""
        return tuple(sorted({*EXPORTABLE, *filter(_PLAIN.fullmatch, self.seen)}))


class Profiles:
    """The connections of a tenant, and samples of their users."""

    def __init__(self, api: Management) -> None:
        self._api = api

    def connections(self) -> list[Connection]:
        """Return every connection. Raises Auth0Error."""
        query = {"take": "100", "fields": "id,name", "include_fields": "true"}
        found = list(self._api.entries("connections", "connections", **query))
        try:
            return [Connection(one["id"], one["name"]) for one in found]
        except (KeyError, TypeError):
            raise Auth0Error("Auth0 answered a request for its connections with something else.") from None

    def named(self, names: Collection[str]) -> list[Connection]:
        """Return the connections of these names or ids. Raises CommandError for one that the tenant does not have."""
        there = self.connections() if names else []
        if unknown := set(names).difference(*map(set, there)):
            raise CommandError(
                f"{self._api.domain} has no connection {', '.join(sorted(unknown))}. It has "
                f"{', '.join(sorted(one.name for one in there)) or 'none'}."
            )
        return [one for one in there if {*one} & {*names}]

    def count(self, connection: Connection | None = None) -> int:
        """Return the number of users, of a connection only if it is given."""
        answer = self._users(connection, 1, include_totals="true")
        total = answer.get("total") if isinstance(answer, dict) else None
        if not isinstance(total, int):
            raise Auth0Error("Auth0 answered a request for the number of users with something else.")
        return total

    def sample(self, connection: Connection, most: int = SAMPLE) -> list[str]:
        """Return ids of some users of a connection."""
        answer = self._users(connection, most, fields="user_id", include_fields="true")
        try:
            return [str(one["user_id"]) for one in answer]
        except (KeyError, TypeError):
            raise Auth0Error("Auth0 answered a request for users with something else.") from None

    def _users(self, connection: Connection | None, most: int, **query: str) -> Any:
        asked = {"per_page": str(most), "page": "0", "search_engine": "v3", "primary_order": "false"} | query
        if connection is not None:
            name = re.sub(r'(["\\])', r"\\\1", connection.name)
            asked["q"] = f'identities.connection:"{name}"'
        return self._api.get(f"users?{urlencode(asked, quote_via=quote)}")


def learn(
    profiles: Profiles,
    connections: Iterable[Connection],
    fetch: Fetch,
    tell: Callable[[str], None] = lambda _: None,
) -> Learnt:
    """Fetch a sample of the users of each connection. Raises Auth0Down if it gets none of a connection's."""
    users: dict[str, bytes] = {}
    keys: dict[str, frozenset[str]] = {}
    for connection in connections:
        user_ids = profiles.sample(connection)
        failures: list[Auth0Down] = []
        for answer in _fetched(user_ids, fetch, failures):
            users[answer.user_id] = one_line(answer.body)
            keys[connection.name] = keys.get(connection.name, frozenset()) | keys_of(answer.body)
            tell(f"{len(users):,} users fetched, {connection.name}")
        if failures and len(failures) == len(user_ids):
            raise failures[0]
    return Learnt(users, keys)


def _fetched(user_ids: Iterable[str], fetch: Fetch, failures: list[Auth0Down]) -> Iterator[Fetched]:
    for user_id in user_ids:
        try:
            answer = fetch(user_id)
        except UserIdRefused:
            continue
        except Auth0Down as error:  # perhaps for this user alone, such as one that is too large
            failures.append(error)
            continue
        if isinstance(answer, Fetched):  # if the user was linked meanwhile, it is the primary user
            yield answer


def one_line(body: bytes) -> bytes:
    """Return a user's JSON as a line: the line breaks in it are between values."""
    return body.replace(b"\r", b" ").replace(b"\n", b" ")


def keys_of(body: bytes) -> frozenset[str]:
    """Return the top-level keys of a user."""
    user = decode_deep(_keys, storable(body))
    return frozenset(user)
