"""Pure: the text of a user in DynamoDB, the same as that of ``pipeline.reconcile.postgres`` for an equal row.

Documents are written as Postgres writes ``jsonb``, keys ordered by their length in bytes, then by their bytes. Postgres
keeps the zeros of 1.0, DynamoDB does not: both sides leave out what looks like such zeros, in strings too. A value that
DynamoDB holds as text gives another text than the row; ``compare`` then finds the users equal.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from json.encoder import encode_basestring as quoted
from typing import Any, Final

import msgspec

from pipeline.changes import Carried

DOCUMENTS: Final = ("profile", "user_metadata", "app_metadata")
EMPTY: Final = {"M": dict[str, Any]()}
_ZEROS: Final = re.compile(r"(\.[0-9]*[1-9])0+([],}])|\.0+([],}])")
_ZERO: Final = re.compile(r"\.[0-9]*0[],}]")  # finds as much in a twentieth of the time
_carried = msgspec.json.Decoder(Carried)


def text(item: Mapping[str, Any], *, contents: bool) -> str:
    """Return the text of a live user: version, parts, id, and with ``contents`` the documents."""
    user_id, version = item["user_id"]["S"], item.get("version", {}).get("S", "")
    shared = f"{version} {_parts(item) if 'carried' in item else ''} {user_id}"
    if not contents:
        return shared
    whole = "\n".join((shared, *[document(item.get(name, EMPTY)) for name in DOCUMENTS]))
    return _ZEROS.sub(r"\1\2\3", whole) if _ZERO.search(whole) else whole


def _parts(item: Mapping[str, Any]) -> str:
    """Return the versions of which a user consists. Their keys differ: an item always has metadata."""
    try:
        carried = _carried.decode(item["carried"]["S"])
    except (KeyError, msgspec.DecodeError):  # changed by hand
        return "?"
    return " ".join(sorted({carried.whole, *carried.keys}))


def document(value: Mapping[str, Any]) -> str:
    """Return a value in DynamoDB's own JSON as Postgres writes the same ``jsonb``."""
    if "S" in value:
        return quoted(value["S"])
    if "M" in value:
        content = value["M"]
        pairs = [
            name + (quoted(inner["S"]) if "S" in (inner := content[key]) else document(inner))
            for key, name in _in_order(tuple(content))
        ]
        return f"{{{', '.join(pairs)}}}"
    if "N" in value:
        return value["N"] if value["N"].isdecimal() else number(value["N"])
    if "BOOL" in value:
        return "true" if value["BOOL"] else "false"
    if "L" in value:
        return f"[{', '.join(map(document, value['L']))}]"
    if "NULL" in value:
        return "null"
    return f"{dict(value)}"  # sets and bytes, which only a change by hand can bring


def number(text: str) -> str:
    """Return a number of DynamoDB without an exponent and trailing zeros."""
    plain = f"{Decimal(text).normalize():f}"
    return "0" if plain == "-0" else plain


@lru_cache(1000)
def _in_order(keys: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return keys in Postgres' order, each with its text; most users have the same keys in the same order."""
    return [(key, f"{quoted(key)}: ") for key in sorted(keys, key=lambda key: (len(key.encode()), key))]
