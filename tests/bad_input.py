"""Messages that must not take others down, each with its outcome: a reason to fail, or the stored user."""

from dataclasses import dataclass
from typing import Any

from pipeline.events import DEEPEST
from tests.strategies import ABSENT, call, created, deleted, log, text, updated, user

SECRETS = (
    "ada.lovelace",
    "Lovelace",
    "Ada",
    "s3cret-metadata",
    "bad-user",
    "the-actor",
    "auth0|first",
    "auth0|last",
    "Hopper",
    "grace@",
    "203.0.113",
)
"""Personal data in the messages below; no log may hold any of it."""


def bad(updated_at: Any = "2023-07-11T16:30:53.231Z", **fields: Any) -> dict[str, Any]:
    metadata = {"plan": "s3cret-metadata"}
    return user("auth0|bad-user", updated_at, **{"user_metadata": metadata, "last_ip": "203.0.113.7"} | fields)


def with_raw(raw: str) -> str:
    """Return an update whose ``user_metadata`` has ``raw`` as the text of a value."""
    return text(updated(bad(user_metadata={"plan": "s3cret-metadata", "x": "@@"}))).replace('"@@"', raw)


WRONG_SHAPE = {
    "version": "0",
    "id": "6f560900-5e58-4dff-bc32-eebf092d59b4",
    "detail-type": ["Auth0 log"],
    "source": "aws.partner/auth0.com/acme",
    "account": "123456789",
    "resources": [""],
    "detail": {"type": "limit_wc", "user_id": "auth0|bad-user", "user_name": "ada.lovelace@acme.example"},
}
"""A shape that has been published: the log directly in ``detail``."""

DEEP = 100_000
"""Levels that no reader follows."""

POISON: dict[str, tuple[str, str]] = {
    "empty": ("", "NotJson"),
    "not JSON": ('{"source": "Ada Lovelace', "NotJson"),
    "not JSON at all": ("Ada Lovelace", "NotJson"),
    "control character": (text(updated(bad())).replace("Ada ", "Ada\n"), "NotJson"),
    "number": ("5", "UnknownShape"),
    "list": ('["ada.lovelace@acme.example"]', "UnknownShape"),
    "other object": ('{"source": "Ada", "detail": {}}', "UnknownShape"),
    "wrong shape": (text(WRONG_SHAPE), "UnknownShape"),
    "no details": (text(log(details=ABSENT)), "UnknownShape"),
    "details is a list": (text(log(details=["Ada Lovelace"])), "UnknownShape"),
    "details is text": (text(log(details="Ada Lovelace")), "UnknownShape"),
    "no status": (text(updated(bad(), status=None)), "UnknownShape"),
    "status is text": (text(updated(bad(), status="200")), "UnknownShape"),
    "status beyond numbers": (text(updated(bad(), status="@@")).replace('"@@"', "1e400"), "UnknownShape"),
    "no user id, created": (text(created(bad() | {"user_id": ""})), "NoUserId"),
    "no user id, created, empty answer": (text(created({})), "NoUserId"),
    "user id is a number": (text(updated(bad() | {"user_id": 5}, path="/api/v2/users/auth0%7Cx")), "UnknownShape"),
    "user id with U+0000": (text(created(bad() | {"user_id": "auth0|bad-user\0"})), "NoUserId"),
    "user id too long": (text(created(bad() | {"user_id": "auth0|" + "bad-user" * 200})), "NoUserId"),
    "path is no UTF-8": (text(call("delete", "/api/v2/users/bad-user%FF", {}, status=204)), "NoUserId"),
    "updated_at is no time": (text(updated(bad("Ada, just now"))), "BadTimestamp"),
    "updated_at is empty": (text(updated(bad(""))), "BadTimestamp"),
    "updated_at is a number": (text(updated(bad(1689093053))), "UnknownShape"),
    "deleted without a date": (text(deleted("auth0|bad-user", date="")), "BadTimestamp"),
    "deep and open": (with_raw("[" * DEEP), "NotJson"),
    "deep and closed wrongly": (with_raw("[" * 400 + "}" * 400 + "[" * DEEP), "NotJson"),
    "open text, of escaped quotes": (with_raw("[" * DEEP + '"' + '\\"' * 10_000), "NotJson"),
    "deep from the start": ("[" * DEEP + "]" * DEEP, "UnknownShape"),
    "linked to no list": (text(call("post", "/api/v2/users/bad-user/identities", ABSENT)), "UnknownShape"),
}
"""By name: the message, and the reason for which it fails in every store."""


@dataclass(frozen=True)
class Stored:
    """``body`` is stored under ``user_id`` with these ``user_metadata``."""

    body: str
    metadata: Any
    user_id: str = "auth0|bad-user"


KEPT = DEEPEST - 7
"""Levels of a value in metadata that stay as they are: the seventh is the metadata itself."""


def nested(levels: int, inner: Any) -> Any:
    """Return lists in lists, to this depth."""
    for _ in range(levels):
        inner = [inner]
    return inner


GOOD_ENOUGH: dict[str, Stored] = {
    "the body wins over the path": Stored(
        text(updated(bad(), path="/api/v2/users/auth0%7Cother")), bad()["user_metadata"]
    ),
    "an absent key is empty": Stored(text(updated(bad(user_metadata=None))), {}),
    "U+0000": Stored(with_raw('"a\\u0000b"'), {"plan": "s3cret-metadata", "x": "a\ufffdb"}),
    "escaped backslash": Stored(with_raw('"\\\\u0000"'), {"plan": "s3cret-metadata", "x": "\\u0000"}),
    "lone surrogates": Stored(with_raw('"\\ud83d-\\uDE00"'), {"plan": "s3cret-metadata", "x": "\ufffd-\ufffd"}),
    "bare lone surrogate": Stored(with_raw('"\ud83d"'), {"plan": "s3cret-metadata", "x": "\ufffd"}),
    "surrogate pair": Stored(with_raw('"\\ud83d\\ude00"'), {"plan": "s3cret-metadata", "x": "😀"}),
    "U+0000 in a key": Stored(with_raw('{"\\u0000":1}'), {"plan": "s3cret-metadata", "x": {"\ufffd": 1}}),
}
"""Messages that every store holds in the same way."""

TOO_DEEP = Stored(
    with_raw("[" * DEEP + "]" * DEEP),
    {"plan": "s3cret-metadata", "x": nested(KEPT, "[" * (DEEP - KEPT) + "]" * (DEEP - KEPT))},
)
"""A value too deep for every reader, and the profile that Postgres holds."""


NEIGHBOURS = (created(user("auth0|first")), updated(user("auth0|last")))


def leaked(output: str) -> list[str]:
    """Return the parts of people's data that are in the logs."""
    return [secret for secret in SECRETS if secret in output]
