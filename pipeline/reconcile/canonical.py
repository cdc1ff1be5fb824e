"""Pure: the text of a user in DynamoDB, the same as that of ``pipeline.reconcile.postgres`` for an equal row.

Documents are written as Postgres writes ``jsonb``, keys ordered by their length in bytes, then by their bytes. Postgres
keeps the zeros of 1.0, DynamoDB does not: both sides leave out what looks like such zeros, in strings too. A value that
DynamoDB holds as text gives another text than the row; ``compare`` then finds the users equal.
"""

import re
from decimal import Decimal
from functools import lru_cache
from json.encoder import encode_basestring as quoted
from typing import Final

import msgspec
from msgspec import Struct

from pipeline.changes import Carried

_ZEROS: Final = re.compile(r"(\.[0-9]*[1-9])0+([],}])|\.0+([],}])")
_ZERO: Final = re.compile(r"\.[0-9]*0[],}]")  # finds as much in a twentieth of the time
_carried = msgspec.json.Decoder(Carried)


class Attribute(Struct, frozen=True, gc=False):
    """A value in DynamoDB's own JSON, read in half the time of a dict; without sets and bytes, which no sink writes."""

    S: str | None = None
    M: "dict[str, Attribute] | None" = None
    N: str | None = None
    BOOL: bool | None = None
    L: "list[Attribute] | None" = None
    NULL: bool | None = None


NOTHING: Final = Attribute()
EMPTY: Final = Attribute(M={})


class Item(Struct):
    """The part of an item that the comparison by hashes reads."""

    user_id: Attribute
    version: Attribute = NOTHING
    carried: Attribute | None = None
    deleted_at: Attribute | None = None
    profile: Attribute = EMPTY
    user_metadata: Attribute = EMPTY
    app_metadata: Attribute = EMPTY

    @property
    def id(self) -> str:
        """Return the user id."""
        return self.user_id.S or ""


def text(item: Item, *, contents: bool) -> str:
    """Return the text of a live user: version, parts, id, and with ``contents`` the documents."""
    shared = f"{item.version.S or ''} {_parts(item.carried) if item.carried else ''} {item.id}"
    if not contents:
        return shared
    documents = document(item.profile), document(item.user_metadata), document(item.app_metadata)
    whole = "\n".join((shared, *documents))
    return _ZEROS.sub(r"\1\2\3", whole) if _ZERO.search(whole) else whole


def _parts(found: Attribute) -> str:
    """Return the versions of which a user consists. Their keys differ: an item always has metadata."""
    try:
        carried = _carried.decode(found.S or "")
    except msgspec.DecodeError:  # changed by hand
        return "?"
    return " ".join(sorted({carried.whole, *carried.keys}))


def document(value: Attribute) -> str:
    """Return a value as Postgres writes the same ``jsonb``."""
    if value.S is not None:
        return quoted(value.S)
    if (content := value.M) is not None:
        pairs = [
            name + (quoted(inner.S) if (inner := content[key]).S is not None else document(inner))
            for key, name in _in_order(tuple(content))
        ]
        return f"{{{', '.join(pairs)}}}"
    if value.N is not None:
        return value.N if value.N.isdecimal() else number(value.N)
    if value.BOOL is not None:
        return "true" if value.BOOL else "false"
    if value.L is not None:
        return f"[{', '.join(map(document, value.L))}]"
    return "null" if value.NULL else "?"  # no JSON: only a change by hand can bring it


def number(text: str) -> str:
    """Return a number of DynamoDB without an exponent and trailing zeros."""
    plain = f"{Decimal(text).normalize():f}"
    return "0" if plain == "-0" else plain


@lru_cache(1000)
def _in_order(keys: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return keys in Postgres' order, each with its text; most users have the same keys in the same order."""
    return [(key, f"{quoted(key)}: ") for key in sorted(keys, key=lambda key: (len(key.encode()), key))]
