"""Find the objects of a table, and the partition values in their paths.

AWS (Athena User Guide, "Set up partition projection", "Supported types for partition projection"): with
``projection.enabled`` the partitions are not those of the catalog but all values that the projection allows, found at
``storage.location.template``. Objects at other places are not read.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlparse

from devstack.emulator.athena.errors import QueryError

Partition = tuple[tuple[str, str], ...]

_JAVA_DATE = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_NOW = re.compile(r"NOW\s*(?:([+-])\s*(\d+)\s*(YEAR|MONTH|WEEK|DAY|HOUR|MINUTE|SECOND)S?)?")
_UNIT_SECONDS = {
    "YEAR": 31_557_600, "MONTH": 2_629_800, "WEEK": 604_800, "DAY": 86_400, "HOUR": 3_600, "MINUTE": 60, "SECOND": 1,
}  # fmt: skip


def partition_of(table: dict[str, Any]) -> Callable[[str], Partition | None]:
    """Return a function from an object's key to its partition's values in the table's order, or None for one that the
    table does not hold. A table without partition keys holds every object below its location, as one partition.
    """
    keys = [key["Name"].lower() for key in table.get("PartitionKeys") or []]
    parameters = table.get("Parameters") or {}
    location = table["StorageDescriptor"]["Location"].rstrip("/") + "/"
    if not keys:
        below = urlparse(location).path.lstrip("/")
        return lambda key: () if key.startswith(below) else None
    if parameters.get("projection.enabled", "").lower() != "true":
        raise QueryError(f"NOT_SUPPORTED: {table['Name']} has partitions, which this emulator reads by projection only")
    template = parameters.get("storage.location.template") or location + "".join(f"{key}=${{{key}}}/" for key in keys)
    pattern = _pattern(template, keys, table["Name"])
    allowed = {key: _allowed(key, parameters) for key in keys}

    def find(object_key: str) -> Partition | None:
        match = pattern.match(object_key)
        if match is None or not all(allowed[key](match[key]) for key in keys):
            return None
        return tuple((key, match[key]) for key in keys)

    return find


def _pattern(template: str, keys: list[str], table: str) -> re.Pattern[str]:
    path = urlparse(template).path.lstrip("/").rstrip("/") + "/"
    text = re.sub(r"\\\$\\\{(\w+)\\\}", lambda match: f"(?P<{match[1].lower()}>[^/]+?)", re.escape(path))
    pattern = re.compile(text)
    missing = set(keys) - set(pattern.groupindex)
    if missing:
        names = ", ".join(sorted(missing))
        raise QueryError(f"INVALID_TABLE_PROPERTY: storage.location.template of {table} does not contain {names}")
    return pattern


def _allowed(key: str, parameters: dict[str, str]) -> Callable[[str], bool]:
    kind = parameters.get(f"projection.{key}.type", "").lower()
    if kind == "enum":
        values = {value.strip() for value in parameters[f"projection.{key}.values"].split(",")}
        return lambda text: text in values
    if kind not in ("date", "integer"):
        raise QueryError(f"INVALID_TABLE_PROPERTY: projection.{key}.type is {kind or 'missing'}")
    low, _, high = parameters[f"projection.{key}.range"].partition(",")
    if kind == "integer":
        digits, numbers = int(parameters.get(f"projection.{key}.digits", 0)), range(int(low), int(high) + 1)
        return lambda text: text.isdecimal() and int(text) in numbers and text == str(int(text)).zfill(digits)
    form = re.sub("|".join(_JAVA_DATE), lambda match: _JAVA_DATE[match[0]], parameters[f"projection.{key}.format"])
    form = form.replace("'", "")
    return lambda text: _is_between(text, form, low.strip(), high.strip())


def _is_between(text: str, form: str, low: str, high: str) -> bool:
    try:
        moment = datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:
        return False
    return _moment(low, form) <= moment <= _moment(high, form)


def _moment(bound: str, form: str) -> datetime:
    match = _NOW.fullmatch(bound)
    if match is None:
        return datetime.strptime(bound, form).replace(tzinfo=UTC)
    moment = datetime.now(UTC)
    if match[1]:
        seconds = int(match[2]) * _UNIT_SECONDS[match[3]]
        moment += timedelta(seconds=seconds if match[1] == "+" else -seconds)
    # Format a bound first: NOW in a format of days is the start of today.
    return datetime.strptime(moment.strftime(form), form).replace(tzinfo=UTC)
