"""Data of others on a terminal: it is never markup of Rich, and it never controls the terminal."""

import json
import re
from typing import Any

from rich.markup import escape
from rich.text import Text

# C0, DEL, C1; what turns the direction of writing; separators of lines; what UTF-8 cannot encode.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(value: Any, keep: str = "") -> str:
    r"""Return a value as text, in which control characters are escaped, such as \u001b, but those in ``keep``."""
    return _CONTROL.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), str(value))


def cell(value: Any) -> Text:
    """Return a value for a table; JSON for what has parts, nothing for None."""
    if isinstance(value, (dict, list)):
        value = json.dumps(value, default=str, ensure_ascii=False)
    return Text("" if value is None else plain(value))


def in_markup(value: Any) -> str:
    """Return a value for a text that has markup around it."""
    return escape(plain(value))


def as_json(value: Any) -> str:
    """Return ``value`` as a JSON document; times as ISO 8601. The control characters that JSON allows are escaped."""
    return plain(json.dumps(value, default=str, ensure_ascii=False, indent=2), keep="\n")


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}"
