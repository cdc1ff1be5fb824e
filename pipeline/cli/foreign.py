"""Print foreign data safely: never as markup of Rich, nor as control codes of the terminal."""

import json
import math
import re
from typing import Any

from rich.markup import escape
from rich.text import Text

# C0, DEL, C1; marks of the writing direction; line separators; surrogates, which UTF-8 cannot encode.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(value: Any, keep: str = "") -> str:
    r"""Return a value as text; escape control characters, such as \u001b, except those in ``keep``."""
    return _CONTROL.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), str(value))


def text(value: Any) -> str:
    """Return a value as one line: JSON for lists and objects, NULL for None, and quotes around ambiguous text."""
    match value:
        case None:
            return "NULL"
        case bool() | dict() | list():
            return plain(_json(value))
        case str() if value in ("", "NULL") or value[0] == value[-1] == "'":
            return f"'{plain(value)}'"
        case _:
            return plain(value)


def cell(value: Any) -> Text:
    """Return a value as ``text`` does, for a table."""
    return Text(text(value), style="dim" if value is None else "")


def in_markup(value: Any) -> str:
    """Return a value for use inside text with markup."""
    return escape(plain(value))


def as_json(value: Any) -> str:
    """Return ``value`` as a JSON document; times as ISO 8601. The control characters that JSON allows are escaped."""
    return plain(_json(value, indent=2), keep="\n")


def _json(value: Any, indent: int | None = None) -> str:
    try:
        return json.dumps(value, default=str, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError:  # JSON has no number such as NaN
        return json.dumps(_finite(value), default=str, ensure_ascii=False, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}"
