"""Users made of the worst JSON there is, kept as the values that they are written from.

The expected content of a store comes from those values, never from reading the JSON text.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import cycle
from typing import Any

from hypothesis import strategies as st

from tests.strategies import Json, created, nasty_text, streamed, text, updated

PERSONAL = ("email", "name", "given_name", "family_name", "username", "phone_number")
HEAD = ("user_id", "updated_at", "deleted_at", *PERSONAL)
OTHER = ("nickname", "picture", "email_verified", "identities", "blocked", "last_ip", "logins_count", "multifactor")


@dataclass(frozen=True)
class Literal:
    """A number as it is written."""

    text: str


@dataclass(frozen=True)
class Pairs:
    """An object as it is written, in which a key may stand more than once."""

    pairs: tuple[tuple[str, Any], ...]


def rendered(value: Any, ascii_only: bool = True) -> str:
    """Return the JSON text of a value."""
    match value:
        case Literal():
            return value.text
        case Pairs():
            members = (f"{rendered(key, ascii_only)}:{rendered(item, ascii_only)}" for key, item in value.pairs)
            return "{" + ",".join(members) + "}"
        case list():
            return "[" + ", ".join(rendered(item, ascii_only) for item in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=ascii_only)


def plain(value: Any) -> Any:
    """Return the stored value of a JSON text: the last of equal keys, U+FFFD for characters that no store holds."""
    match value:
        case Literal():
            return Decimal(value.text)
        case Pairs():
            return {plain(key): plain(item) for key, item in value.pairs}
        case list():
            return [plain(item) for item in value]
        case str():
            joined = re.sub("[\ud800-\udbff][\udc00-\udfff]", _character, value)
            return re.sub("[\ud800-\udfff\0]", "\ufffd", joined)
        case _:
            return value


def _character(pair: re.Match[str]) -> str:
    high, low = map(ord, pair[0])
    return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


def read(body: str) -> Any:
    """Return JSON with its numbers as they are."""
    return json.loads(body, parse_float=Decimal, parse_int=Decimal)


# Values

keys = st.sampled_from(
    ("", ".", "$", "$set", "a.b", "a[0]", "#n", ":v", " ", "'", '"', "\\", "--", "%s", "{0}", "constructor", "0", "é")
)
numbers = st.one_of(
    st.sampled_from(
        (
            "0", "-0", "0.0", "1E+125", "9.9999999999999999999999999999999999999E+125", "1e126", "-1e-130", "1e-131",
            "12345678901234567890123456789012345678", "123456789012345678901234567890123456789", "0.10", "5e-324",
            "1.7976931348623157e308", "1e400", "-1e-400", "9007199254740993", "18446744073709551616", "1" + "0" * 300,
            "0." + "0" * 200 + "1", "1" * 1000, "1e5000", "1.50e+2",
        )
    ),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.builds(lambda digits, exponent: f"{digits}.5e{exponent}", st.integers(-999, 999), st.integers(-200, 200)),
).map(Literal)  # fmt: skip
texts = st.one_of(nasty_text, keys, st.sampled_from(("true", "null", "2026-01-15", "x" * 300, "\x7f\u2028\ufeff")))


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Pairs]:
    pairs = st.tuples(st.one_of(keys, nasty_text), inner)
    return st.lists(pairs, max_size=5).map(lambda found: Pairs(tuple(found)))


def _nested(value: Any, depth: int, lists: list[bool]) -> Any:
    for _, is_list in zip(range(depth), cycle(lists), strict=False):
        value = [value] if is_list else Pairs((("k", value),))
    return value


_deep = st.builds(
    _nested,
    numbers,
    st.one_of(st.integers(28, 36), st.integers(1, 120)),
    st.lists(st.booleans(), min_size=1, max_size=6),
)
"""Nested around the depth where DynamoDB ends, or far beyond it."""
_wide = st.builds(
    lambda width, value: Pairs(tuple((f"key {number}", value) for number in range(width))),
    st.integers(50, 300),
    nasty_text,
)
values = st.one_of(
    st.recursive(
        st.one_of(st.none(), st.booleans(), numbers, texts),
        lambda inner: st.lists(inner, max_size=4) | _objects(inner),
        max_leaves=15,
    ),
    _deep,
    _wide,
)


# Times

instants = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.just(UTC))  # noqa: DTZ001 - the bounds have no zone
_OFFSETS = [timezone(timedelta(minutes=minutes)) for minutes in (0, 330, -570, 845, -720)]


@st.composite
def times(draw: st.DrawFn) -> tuple[str, datetime]:
    """Return a moment in one of the ways to write it in ISO 8601, and the moment."""
    moment = draw(instants)
    digits = draw(st.integers(0, 9))
    kept = moment.microsecond // 10 ** (6 - digits) * 10 ** (6 - digits) if digits < 6 else moment.microsecond
    moment = moment.replace(microsecond=kept)
    fraction = f"{moment.microsecond:06}000"[:digits]
    zone = draw(st.sampled_from(_OFFSETS))
    local = moment.astimezone(zone)
    year, week, day = local.isocalendar()
    date, basic = draw(
        st.sampled_from(
            (
                (f"{local.date()}", False),
                (f"{local.date()}".replace("-", ""), True),
                (f"{year:04}-W{week:02}-{day}", False),
                (f"{year:04}W{week:02}{day}", True),
            )
        )
    )
    clock = f"{local:%H%M%S}" if basic else f"{local:%H:%M:%S}"
    offset = f"{local:%z}"
    suffixes = [offset, f"{offset[:3]}:{offset[3:]}"] + ([] if zone.utcoffset(None) else ["Z", ""])
    mark = draw(st.sampled_from(".,")) if digits else ""
    return f"{date}{draw(st.sampled_from('T '))}{clock}{mark}{fraction}{draw(st.sampled_from(suffixes))}", moment


# Users

user_ids = st.one_of(
    st.sampled_from(
        (
            "auth0|x", "x", "5", "|", "a|b|c", "samlp|conn|a%2Fb", "%2F", "%252F", "a%7Cb", "a/b", "a?b=c#d", "..",
            "a+b", " ", "o'hara", 'a"b', "a\\b", "é@acme.example", "😀|😀", "e\u0301|x", "{x}", "x" * 1024,
        )
    ),
    st.text(min_size=1, max_size=40).filter(lambda found: found.isprintable() and "\ufffd" not in found),
)  # fmt: skip
# Without asterisks: a Log Stream masks with them, and what looks masked is not stored.
_unmasked = st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]))
_personal = st.one_of(st.none(), numbers, _unmasked)
_emails = st.one_of(st.none(), st.just(""), _unmasked.map("{}@".format))
_fields = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys((*OTHER, "user_metadata", "app_metadata"), values) | dict.fromkeys(PERSONAL[1:], _personal),
)
_own = st.lists(st.tuples(st.one_of(keys, nasty_text).filter(lambda key: key not in HEAD), values), max_size=4)
_again = st.lists(st.sampled_from((("user_id", "auth0|first"), ("updated_at", "no time"), ("user_metadata", 1))))


@dataclass(frozen=True)
class User:
    """A body, and what must be found of it in typed columns."""

    body: Pairs
    user_id: str
    updated_at: datetime
    last_login: datetime


@st.composite
def users(draw: st.DrawFn) -> User:
    """Return any whole user whose id and time can be read."""
    user_id = draw(user_ids)
    (changed, updated_at), (login, last_login) = draw(times()), draw(times())
    known = {"user_id": user_id, "updated_at": changed, "last_login": login, "email": draw(_emails)}
    fields: dict[str, Any] = draw(_fields) | known
    pairs = draw(st.permutations([*fields.items(), *draw(_own)]))
    # What stands before the same key does not count.
    again = [pair for pair in draw(_again) if pair[0] in fields]
    return User(Pairs((*again, *pairs)), user_id, updated_at, last_login)


CARRIERS: dict[str, Callable[[Json], Json]] = {
    "updated": lambda profile: updated(profile, path="/api/v2/users/auth0%7Cother"),
    "created": created,
    "streamed": lambda profile: streamed("user.updated", profile),
}


def message(user: User, carrier: str, ascii_only: bool) -> str:
    """Return the event that carries the user."""
    event = CARRIERS[carrier]({"user_id": "@@"})
    return text(event).replace('{"user_id":"@@"}', rendered(user.body, ascii_only))


messages = st.tuples(users(), st.sampled_from(sorted(CARRIERS)), st.booleans())
