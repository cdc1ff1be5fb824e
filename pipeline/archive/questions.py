"""Questions over the archive, each an SQL file in ``queries/``.

A file begins with comment lines: its title, its description, and ``-- parameters:`` with the names of its ``?``, in
order. A name may repeat, each time with its default if it has one (``minimum=5``). A question that can be watched names
the columns that identify a finding (``-- finding: log_id``). A question that compares with earlier days also gives
their number (``-- looks back: 30``), and has the day of arrival as ``dt``.

``since`` and ``until`` are the first and the last hour of arrival, such as ``2026-01-15T09``. Their days bound ``dt``
by itself, so that Athena reads no other day.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.archive.athena import query
from pipeline.archive.literals import Parameter
from pipeline.query import Result

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient

#: Days that a question looks back by default: `since` bounds the days that Athena reads, and so the cost.
DEFAULT_DAYS = 30
DEFAULT_LIMIT = 100

_FOLDER = Path(__file__).with_name("queries")
#: Firehose's longest buffer. An object lies under the hour of its first event, and holds events up to this much later.
BUFFER = timedelta(minutes=15)

_DAY = len("2026-01-15")
_BACK = re.compile(r"([0-9]{1,9})([dh])")
_HEADER = re.compile(r"(parameters|finding|looks back): (.+)")


@dataclass(frozen=True, slots=True)
class Question:
    """A named query.

    :param title: its answer, in a few words.
    :param description: the meaning of its rows, and its limits.
    :param parameters: the names of its `?`, in order; a name may repeat.
    :param defaults: numbers for the parameters that have one of their own, by name.
    :param finding: the columns that identify a finding; none if the question cannot be watched.
    :param looks_back: days that it compares with, 0 if it compares with nothing.
    """

    name: str
    title: str
    description: str
    parameters: tuple[str, ...]
    sql: str
    defaults: dict[str, int] = field(default_factory=dict)
    finding: tuple[str, ...] = ()
    looks_back: int = 0

    def parse(self, given: Mapping[str, str]) -> dict[str, Parameter]:
        """Parse parameters from text; return numbers for those that must be numbers."""
        numbers = {"limit", *self.defaults}
        return {name: int(value) if name in numbers and value.isdecimal() else value for name, value in given.items()}

    def takes(self) -> list[str]:
        """Return the parameters, each once, with the default of those that have one of their own."""
        names = dict.fromkeys(self.parameters)
        return [f"{name}={self.defaults[name]}" if name in self.defaults else name for name in names]

    def values(self, given: Mapping[str, Parameter]) -> list[Parameter]:
        """Return the parameters in order. `since`, `until`, `limit` and numbers have defaults.

        :raises ValueError: if one is missing, unknown or of the wrong type.
        """
        known: dict[str, Parameter] = {"limit": DEFAULT_LIMIT, **self.defaults, **given}
        known["since"], known["until"] = _hours(given)
        missing = [name for name in dict.fromkeys(self.parameters) if name not in known]
        unknown = [name for name in given if name not in self.parameters]
        wrong = [f"{name} is missing" for name in missing] + [f"{name} is unknown" for name in unknown]
        wrong += [
            f"{name} is not a whole number" for name in ("limit", *self.defaults) if not isinstance(known[name], int)
        ]
        if wrong:
            raise ValueError(f"{self.name}: {', '.join(wrong)}; it takes {', '.join(dict.fromkeys(self.parameters))}")
        return [known[name] for name in self.parameters]

    def window(self, given: Mapping[str, Parameter]) -> tuple[str, str]:
        """Return the first and the last minute of arrival that the question reads, in UTC."""
        since, until = _hours(given)
        return f"{since.replace('T', ' ')}:00", f"{until.replace('T', ' ')}:59"


def names() -> list[str]:
    """Return the names of all questions."""
    return sorted(file.name.removesuffix(".sql") for file in _FOLDER.iterdir() if file.name.endswith(".sql"))


def load(name: str) -> Question:
    """Return a question by its name.

    :raises ValueError: if no question has this name.
    """
    if name not in names():
        raise ValueError(f"there is no question {name!r}; there are {', '.join(names())}")
    text = (_FOLDER / f"{name}.sql").read_text("utf-8")
    title, *comments = [line.removeprefix("-- ") for line in text.splitlines() if line.startswith("--")]
    headers = {found[1]: found[2].split(", ") for line in comments if (found := _HEADER.fullmatch(line))}
    given = [part.partition("=") for part in headers["parameters"]]
    return Question(
        name,
        title,
        " ".join(line for line in comments if not _HEADER.fullmatch(line)),
        tuple(parameter for parameter, _, _ in given),
        "\n".join(line for line in text.splitlines() if not line.startswith("--")).strip(),
        {parameter: int(default) for parameter, _, default in given if default.isdecimal()},
        tuple(headers.get("finding", ())),
        int(headers.get("looks back", ["0"])[0]),
    )


def ask(
    client: AthenaClient,
    name: str,
    parameters: Mapping[str, Parameter],
    *,
    database: str,
    workgroup: str,
    timeout: float = 60,
) -> Result:
    """Ask a question by its name; see `athena.query` for the rest. The answer says whether `limit` left rows out."""
    question = load(name)
    values = question.values(parameters)
    if "limit" not in question.parameters:
        return query(client, question.sql, database=database, workgroup=workgroup, parameters=values, timeout=timeout)
    limit = int(str(parameters.get("limit", DEFAULT_LIMIT)))
    values = question.values({**parameters, "limit": limit + 1})
    found = query(client, question.sql, database=database, workgroup=workgroup, parameters=values, timeout=timeout)
    return found.first(limit)


def _hours(given: Mapping[str, Parameter]) -> tuple[str, str]:
    """Return the first and the last hour of arrival for the times that were given.

    The first is one hour earlier if an object of that hour may hold events that arrived at the time.
    """
    now = datetime.now(UTC)
    since = _moment("since", given.get("since", f"{DEFAULT_DAYS}d"), now, -BUFFER)
    until = _moment("until", given.get("until", "now"), now)
    first, last = (
        (f"{since}T00" if len(since) == _DAY else since[:13]),
        (f"{until}T23" if len(until) == _DAY else until[:13]),
    )
    if first > last:
        raise ValueError(f"since={since} is after until={until}")
    return first, last


def _moment(name: str, value: Parameter, now: datetime, shift: timedelta = timedelta()) -> str:
    """Return a day, or a time in UTC with `shift` added."""
    text = str(value)
    try:
        if isinstance(value, datetime):
            return (value.astimezone(UTC) + shift).isoformat()
        if isinstance(value, date) or len(text) == _DAY:
            return date.fromisoformat(text).isoformat()
        if text == "now":
            return now.date().isoformat()  # the day is not over, even if the clocks differ
        if back := _BACK.fullmatch(text):
            number = int(back[1])
            if back[2] == "d":
                return (now.date() - timedelta(days=number)).isoformat()
            return (now - timedelta(hours=number) + shift).isoformat()
        at = datetime.fromisoformat(text)
        return ((at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)) + shift).isoformat()
    except (ValueError, OverflowError):
        raise ValueError(
            f"{name}={text} is no time; it takes a day such as 2026-01-15, a time such as 2026-01-15T09:30Z, or back "
            "from now such as 7d or 24h"
        ) from None
