"""Questions that people ask of the archive, each an SQL file in ``queries/``.

A file begins with comment lines: its title, its description, and ``-- parameters:`` with the names that its ``?`` stand
for, in order. A name may stand there more than once, and the first time with a default (``minimum=5``). A question that
can be watched names the columns that tell one finding from another (``-- finding: log_id``). A question that compares
with what was before also says how many days it needs (``-- looks back: 30``), and has the day of arrival as ``dt``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING

from pipeline.archive.athena import Result, query
from pipeline.archive.literals import Parameter

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient

#: How far back a question looks if it is not told: `since` bounds the days that Athena reads, and so the cost.
DEFAULT_DAYS = 30
DEFAULT_LIMIT = 100

_FOLDER = files("pipeline.archive") / "queries"
_DAYS_BACK = re.compile(r"([0-9]{1,9})d")
_HEADER = re.compile(r"(parameters|finding|looks back): (.+)")


@dataclass(frozen=True, slots=True)
class Question:
    """A named query.

    :param title: what it answers, in a few words.
    :param description: what its rows are, and what it cannot know.
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
        """Return parameters that were given as text, those that have to be numbers as numbers."""
        numbers = {"limit", *self.defaults}
        return {name: int(value) if name in numbers and value.isdecimal() else value for name, value in given.items()}

    def takes(self) -> list[str]:
        """Return the parameters, each once, with the default of those that have one of their own."""
        names = dict.fromkeys(self.parameters)
        return [f"{name}={self.defaults[name]}" if name in self.defaults else name for name in names]

    def values(self, given: dict[str, Parameter]) -> list[Parameter]:
        """Return the parameters in order. `since` (a date, YYYY-MM-DD or 7d), `limit` and numbers have defaults.

        :raises ValueError: if one is missing, unknown or not a number where it has to be one.
        """
        today = datetime.now(UTC).date()
        known: dict[str, Parameter] = {"since": today - timedelta(days=DEFAULT_DAYS), "limit": DEFAULT_LIMIT}
        known |= self.defaults | given
        missing = [name for name in dict.fromkeys(self.parameters) if name not in known]
        unknown = [name for name in given if name not in self.parameters]
        wrong = [f"{name} is missing" for name in missing] + [f"{name} is unknown" for name in unknown]
        wrong += [
            f"{name} is not a whole number" for name in ("limit", *self.defaults) if not isinstance(known[name], int)
        ]
        if wrong:
            raise ValueError(f"{self.name}: {', '.join(wrong)}; it takes {', '.join(dict.fromkeys(self.parameters))}")
        # Days of arrival are text in the table, and only text can be compared with them without reading everything.
        return [_day(known[name]) if name == "since" else known[name] for name in self.parameters]


def names() -> list[str]:
    """Return the names of all questions."""
    return sorted(file.name.removesuffix(".sql") for file in _FOLDER.iterdir() if file.name.endswith(".sql"))


def load(name: str) -> Question:
    """Return a question by its name.

    :raises ValueError: if there is none of this name.
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
        {parameter: int(default) for parameter, _, default in given if default},
        tuple(headers.get("finding", ())),
        int(headers.get("looks back", ["0"])[0]),
    )


def ask(
    client: AthenaClient,
    name: str,
    parameters: dict[str, Parameter],
    *,
    database: str,
    workgroup: str,
    timeout: float = 60,
) -> Result:
    """Ask a question by its name; see `athena.query` for the rest."""
    question = load(name)
    values = question.values(parameters)
    return query(client, question.sql, database=database, workgroup=workgroup, parameters=values, timeout=timeout)


def _day(value: Parameter) -> str:
    if isinstance(value, datetime):
        value = value.astimezone(UTC).date()
    if isinstance(value, date):
        return value.isoformat()
    try:
        if back := _DAYS_BACK.fullmatch(str(value)):
            return (datetime.now(UTC).date() - timedelta(days=int(back[1]))).isoformat()
        return date.fromisoformat(str(value)).isoformat()
    except (ValueError, OverflowError):
        raise ValueError(f"since={value} is no day; it takes one such as 2026-01-15, or days back such as 7d") from None
