"""Recognise data about a person: by the user id and other identifiers, as JSON, URLs and base64 write them."""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import unquote

SHORTEST: Final = 5
"""Characters of an identifier: a shorter one occurs in the data of others."""
_BY_ITSELF: Final = re.compile(r"(?=.*\d)[\w.-]{12,}|[^@\s]+@[^@\s]+")
"""An id that identifies a person without the provider before it, unlike a word such as administrator."""
_NESTED: Final = 5
"""Times that text is decoded: JSON in a string, a percent-encoded path in a URL."""

# No identifier begins or ends inside a longer word, such as ann@x.com in joann@x.com.au.
_BEFORE: Final = r"(?<![\w.+%|@-])"
_AFTER: Final = r"(?![\w|@-]|\.\w)"


class Person:
    """A person with a user id and other identifiers, such as e-mail addresses and phone numbers."""

    def __init__(self, user_id: str, identifiers: Sequence[str] = ()) -> None:
        """Raise ValueError for an identifier that is too short to be one."""
        if short := [one for one in (user_id, *identifiers) if len(one) < SHORTEST]:
            raise ValueError(f"{short[0]!r} is too short to tell a person by: {SHORTEST} characters at least")
        self.user_id = user_id
        inner = user_id.rpartition("|")[2]
        own = (user_id, inner) if _BY_ITSELF.fullmatch(inner) else (user_id,)
        self.identifiers = tuple(dict.fromkeys((*own, *identifiers)))
        self.pattern = "(?i)" + "|".join("".join(map(_encoded, one)) for one in self.identifiers)
        """A regular expression that matches every line about the person, and a few others; also in Athena's syntax."""
        self._lower = tuple(one.lower() for one in self.identifiers)
        exact = "|".join(map(re.escape, self.identifiers))
        self._exact = re.compile(f"{_BEFORE}(?:{exact})(?:{_AFTER})", re.IGNORECASE)

    def may_concern(self, data: bytes) -> bool:
        """Return whether data may be about the person; it is quick, and True for some data that is not."""
        text = _decoded(data).lower()
        return any(one in text for one in self._lower)

    def concerns(self, line: bytes) -> bool:
        """Return whether a line is about the person: a JSON document, or other text."""
        return self.may_concern(line) and any(self._exact.search(text) for text in _texts(line))

    def concerns_failed(self, line: bytes) -> bool:
        """Return whether a line of Firehose's error output is about the person: it has the event in base64."""
        return self.concerns(line) or any(self.concerns(one) for one in _raw(line).splitlines())

    def may_concern_failed(self, line: bytes) -> bool:
        """Return whether a line of Firehose's error output may be about the person."""
        return self.may_concern(line) or self.may_concern(_raw(line))


def _encoded(character: str) -> str:
    """Return a pattern of a character: as it is, as JSON escapes it, and as URLs do, also twice."""
    found = []
    for variant in sorted({character, character.lower(), character.upper()}):
        units = variant.encode("utf-16-be", "surrogatepass").hex()
        escapes = "".join(rf"\\+u{units[start : start + 4]}" for start in range(0, len(units), 4))
        octets = "".join(f"%(?:25)*{octet:02x}" for octet in variant.encode("utf-8", "surrogatepass"))
        found += [re.escape(variant), escapes, octets]
    if character in '/"\\':
        found.append(r"\\+" + re.escape(character))
    return f"(?:{'|'.join(dict.fromkeys(found))})"


_UNITS: Final = re.compile(rb"(?:\\+u[0-9a-fA-F]{4})+")
_UNIT: Final = re.compile(rb"\\+u")
_OCTET: Final = re.compile(rb"%(?:25)*([0-9a-fA-F]{2})")
_ESCAPED: Final = re.compile(rb"\\+([/\"\\])")


def _decoded(data: bytes) -> str:
    """Return data as text without escapes of JSON and URLs, wherever they are."""
    for _ in range(_NESTED):
        before = data
        if b"\\" in data:
            data = _ESCAPED.sub(rb"\1", _UNITS.sub(_from_units, data))
        if b"%" in data:
            data = _OCTET.sub(lambda found: bytes.fromhex(found[1].decode()), data)
        if data == before:
            break
    return data.decode(errors="replace")


def _from_units(found: re.Match[bytes]) -> bytes:
    units = bytes.fromhex(_UNIT.sub(b"", found[0]).decode())
    return units.decode("utf-16-be", "replace").encode()


def _texts(line: bytes) -> Iterator[str]:
    """Yield every text of a JSON document, decoded; of another line, the line itself."""
    text = line.decode(errors="replace")
    waiting: list[tuple[Any, int]] = [(text, 0)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, dict):
            waiting += [(one, depth) for pair in value.items() for one in pair]
        elif isinstance(value, list):
            waiting += [(one, depth) for one in value]
        elif isinstance(value, str):
            parsed = _parsed(value) if depth <= _NESTED else None
            if parsed is None or depth:
                yield value
            if parsed is not None:
                waiting.append((parsed, depth + 1))
            elif depth <= _NESTED and (decoded := unquote(value)) != value:
                waiting.append((decoded, depth + 1))
        elif isinstance(value, (int, float)):
            yield str(value)


def _parsed(text: str) -> Any:
    """Return the value of a text that is a JSON object, array or string; None for another."""
    if not text.lstrip().startswith(("{", "[", '"')):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _raw(line: bytes) -> bytes:
    record = _parsed(line.decode(errors="replace"))
    try:
        return base64.b64decode(record["rawData"]) if isinstance(record, dict) else b""
    except (KeyError, TypeError, ValueError, binascii.Error):
        return b""
