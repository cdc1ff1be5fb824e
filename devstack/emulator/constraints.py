"""Check the parameters of an operation against its service model, more completely than botocore.

botocore checks types, required members and minimums before it sends a request. The models also have maximums,
patterns and enumerations, which only the services enforce.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import regex
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.utils import parse_to_aware_datetime

TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "character": (str,),
    "blob": (bytes, str),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
}
LONGEST_VALUE = 80


def violations(shape: Shape | None, value: Any, path: str = "") -> Iterator[str]:
    """Yield the violations of the model in ``value`` in AWS's words, each with the path of the member."""
    if shape is None:
        if value:
            yield f"Members {sorted(value)} are unknown: the operation has no parameters"
        return
    if isinstance(shape, StructureShape) and shape.is_document_type:
        return
    if not _is_of(shape, value):
        yield f"{_value(value)} at '{path}' has the wrong type: Member must be of type {shape.type_name}"
        return
    yield from (f"{_value(value)} at '{path}' failed to satisfy constraint: {rule}" for rule in _broken(shape, value))
    if isinstance(shape, StructureShape):
        yield from _of_members(shape, value, path)
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from violations(shape.key, key, f"{path}.key")
            yield from violations(shape.value, item, _join(path, key))
    elif isinstance(shape, ListShape):
        for number, item in enumerate(value, start=1):
            yield from violations(shape.member, item, f"{path}.{number}")


def _of_members(shape: Any, value: dict[str, Any], path: str) -> Iterator[str]:
    if shape.is_tagged_union and len(value) != 1:
        yield f"Value at '{path}' failed to satisfy constraint: Exactly one member must be set, not {sorted(value)}"
    for name in shape.required_members:
        if name not in value:
            yield f"Value null at '{_join(path, name)}' failed to satisfy constraint: Member must not be null"
    for name, item in value.items():
        if name in shape.members:
            yield from violations(shape.members[name], item, _join(path, name))
        else:
            yield f"Value at '{_join(path, name)}' is unknown: Members are {', '.join(shape.members)}"


def _is_of(shape: Shape, value: Any) -> bool:
    if shape.type_name == "timestamp":
        try:
            parse_to_aware_datetime(value)
        except (TypeError, ValueError, AttributeError):
            return False
        return True
    return isinstance(value, TYPES[shape.type_name]) and (shape.type_name == "boolean" or not isinstance(value, bool))


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    rules, number = shape.metadata, isinstance(value, int | float)
    if not number and not hasattr(value, "__len__"):
        return
    size, what = (value, "value") if number else (len(value), "length")
    if "min" in rules and size < rules["min"]:
        yield f"Member must have {what} greater than or equal to {rules['min']}"
    if "max" in rules and size > rules["max"]:
        yield f"Member must have {what} less than or equal to {rules['max']}"
    if "pattern" in rules and isinstance(value, str) and not pattern(rules["pattern"]).fullmatch(value):
        yield f"Member must satisfy regular expression pattern: {rules['pattern']}"
    if "enum" in rules and value not in rules["enum"]:
        yield f"Member must satisfy enum value set: [{', '.join(rules['enum'])}]"


@cache
def pattern(java: str) -> "regex.Pattern[str]":
    r"""Compile a model's pattern, which is one of Java's.

    Java's ``\w`` and ``\d`` are ASCII, its ``\p{L}`` is not. Models write characters beyond U+FFFF as UTF-16 has them.
    """
    flags = regex.V0 if r"\p" in java else regex.V0 | regex.ASCII
    return regex.compile(java.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF"), flags)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _value(value: Any) -> str:
    text = repr(value)
    return f"Value {text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + '...'}"
