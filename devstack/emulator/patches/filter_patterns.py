"""Filter patterns of CloudWatch Logs that look into JSON.

AWS (CloudWatch Logs User Guide, "Filter pattern syntax for metric filters, subscription filters, filter log events, and
Live Tail"): ``{ $.level = "ERROR" }`` matches log lines that are JSON and whose property is equal. Text compares by
``=`` and ``!=``, with ``*`` for any characters; numbers by these and ``<``, ``<=``, ``>``, ``>=``. ``&&`` binds closer
than ``||``; parentheses group. ``IS NULL`` and ``NOT EXISTS`` test a property. FilterLogEvents refuses a pattern that
it cannot read: InvalidParameterException.

MiniStack: every line matches a pattern of this kind.
"""

import json
import operator
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from ministack.core import responses
from ministack.services import cloudwatch_logs

from devstack.emulator import patching

Matches = Callable[[Any], bool]
_original: dict[str, Any] = {}

_TOKEN = re.compile(
    r"""\s*(?:(?P<selector>\$(?:\.[A-Za-z_][\w-]*)+)|(?P<string>"(?:[^"\\]|\\.)*")|(?P<number>-?\d+(?:\.\d+)?)"""
    r"""|(?P<word>IS\s+NULL|NOT\s+EXISTS)|(?P<symbol>&&|\|\||[<>!]=|[=<>()]))"""
)
_NUMERIC: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MISSING = object()


def apply() -> None:
    """Replace the parser of patterns, and FilterLogEvents, which refuses unreadable ones."""
    for name, new in (
        ("_compile_filter_pattern", compile_filter_pattern),
        ("_filter_log_events", filter_log_events),
    ):
        _original[name] = patching.replace(cloudwatch_logs, name, new)


def filter_log_events(data: Any) -> Any:
    """FilterLogEvents, which refuses unreadable patterns."""
    try:
        compile_filter_pattern(data.get("filterPattern", ""))
    except ValueError as problem:
        return responses.error_response_json("InvalidParameterException", f"Invalid filter pattern: {problem}", 400)
    return _original["_filter_log_events"](data)


def compile_filter_pattern(raw: str) -> Callable[[str], bool]:
    """Return a function that returns whether a line matches. Raises ValueError."""
    pattern = (raw or "").strip()
    if not pattern.startswith("{"):
        text: Callable[[str], bool] = _original["_compile_filter_pattern"](raw)
        return text
    if not pattern.endswith("}"):
        raise ValueError("the brace is not closed")
    reader = _Reader(pattern[1:-1])
    matches = reader.alternatives()
    if reader.left:
        raise ValueError(f"unexpected {reader.left[0][1]}")

    def line(message: str) -> bool:
        try:
            value = json.loads(message)
        except ValueError:
            return False
        return isinstance(value, dict) and matches(value)

    return line


class _Reader:
    """The rest of a pattern, as (kind, text)."""

    def __init__(self, text: str) -> None:
        self.left: list[tuple[str, str]] = []
        position = 0
        while text[position:].strip():
            found = _TOKEN.match(text, position)
            if found is None:
                raise ValueError(f"unexpected {text[position:].strip()[:20]}")
            self.left.append((str(found.lastgroup), found[str(found.lastgroup)]))
            position = found.end()

    def take(self, *kinds: str) -> tuple[str, str]:
        if not self.left or self.left[0][0] not in kinds:
            raise ValueError(f"expected {' or '.join(kinds)}, not {self.left[0][1] if self.left else 'the end'}")
        return self.left.pop(0)

    def taken(self, symbol: str) -> bool:
        if self.left and self.left[0] == ("symbol", symbol):
            self.left.pop(0)
            return True
        return False

    def alternatives(self) -> Matches:
        found = [self.conjunction()]
        while self.taken("||"):
            found.append(self.conjunction())
        return lambda value: any(one(value) for one in found)

    def conjunction(self) -> Matches:
        found = [self.condition()]
        while self.taken("&&"):
            found.append(self.condition())
        return lambda value: all(one(value) for one in found)

    def condition(self) -> Matches:
        if self.taken("("):
            inner = self.alternatives()
            if not self.taken(")"):
                raise ValueError("the parenthesis is not closed")
            return inner
        path = self.take("selector")[1].split(".")[1:]
        kind, text = self.take("symbol", "word")
        if kind == "word":
            wanted: Any = None if text.endswith("NULL") else _MISSING
            return lambda value: _at(value, path) is wanted
        if text not in _NUMERIC:
            raise ValueError(f"expected an operator, not {text}")
        compare = _NUMERIC[text]
        kind, operand = self.take("number", "string")
        if kind == "number":
            number = float(operand)
            return lambda value: _is_number(_at(value, path)) and compare(_at(value, path), number)
        if text not in ("=", "!="):
            raise ValueError(f"{text} compares numbers only")
        glob = json.loads(operand).replace("[", "[[]").replace("?", "[?]")
        return lambda value: isinstance(_at(value, path), str) and fnmatchcase(_at(value, path), glob) == (text == "=")


def _at(value: Any, path: list[str]) -> Any:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return _MISSING
        value = value[name]
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
