r"""Write foreign data as text that shows every character: for terminals, pipes, JSON, CSV and mails.

Users choose names and metadata, visitors of the login page what they type, and servers quote both in their errors.
"""

import json
import math
import re
from decimal import Decimal
from typing import Any, Final

# Unicode's categories Cc, Cs, Zl and Zp; and of Cf all that is invisible or changes the direction of writing, but for
# the joiners U+200C and U+200D, which languages and emoji need.
_INVISIBLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)

# Prefixes of formulas in spreadsheets, also in full width, after quotes and after what a spreadsheet may trim; and the
# mark of text.
_FORMULA: Final = re.compile("[\\s\"\u200c\u200d]*[-=+@'\uff0d\uff1d\uff0b\uff20]")
_QUOTED: Final = re.compile('[",;]|^ | $')


def plain(value: Any, keep: str = "") -> str:
    r"""Return a value as text; escape invisible characters, such as \u001b, except those in ``keep``."""
    return _INVISIBLE.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), str(value))


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


def as_json(value: Any, indent: int | None = 2) -> str:
    """Return ``value`` as a JSON document; times as ISO 8601. Invisible characters are escaped as JSON escapes them."""
    return plain(_json(value, indent), keep="\n")


def csv_line(cells: Any) -> str:
    """Return a line of CSV by RFC 4180. NULL is empty, '' is "", and no cell is a formula."""
    return ",".join(map(_csv_cell, cells)) + "\r\n"


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    shown = plain(value) if isinstance(value, str) else text(value)
    if _FORMULA.match(shown) and not isinstance(value, (int, float, Decimal)):
        shown = f"'{shown}"
    if not shown or _QUOTED.search(shown):
        return '"' + shown.replace('"', '""') + '"'
    return shown


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
    """Return a character as JSON escapes it: beyond U+FFFF as two surrogates."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
