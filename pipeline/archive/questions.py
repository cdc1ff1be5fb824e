"""Questions that people ask of the archive, each an SQL file in ``queries/``.

A file begins with comment lines: what it answers, and ``-- parameters:`` with the names that its ``?`` stand for,
in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING

from pipeline.archive import athena
from pipeline.archive.literals import Parameter

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient

#: How far back a question looks if it is not told: `since` bounds the days that Athena reads, and so the cost.
DEFAULT_DAYS = 30
DEFAULT_LIMIT = 100

_FOLDER = files("pipeline.archive") / "queries"
_PARAMETERS = "-- parameters:"


@dataclass(frozen=True, slots=True)
class Question:
    """A named query.

    :param parameters: the names of its `?`, in order.
    """

    name: str
    description: str
    parameters: tuple[str, ...]
    sql: str

    def values(self, given: dict[str, Parameter]) -> list[Parameter]:
        """The parameters in order. `since` (a date or YYYY-MM-DD) and `limit` have defaults.

        :raises ValueError: if one is missing or unknown.
        """
        today = datetime.now(UTC).date()
        known: dict[str, Parameter] = {"since": today - timedelta(days=DEFAULT_DAYS), "limit": DEFAULT_LIMIT}
        known |= given
        missing = [name for name in self.parameters if name not in known]
        unknown = [name for name in given if name not in self.parameters]
        if missing or unknown:
            wrong = ", ".join([f"{name} is missing" for name in missing] + [f"{name} is unknown" for name in unknown])
            raise ValueError(f"{self.name}: {wrong}; it takes {', '.join(self.parameters)}")
        # Days of arrival are text in the table, and only text can be compared with them without reading everything.
        return [_day(known[name]) if name == "since" else known[name] for name in self.parameters]


def names() -> list[str]:
    """The names of all questions."""
    return sorted(file.name.removesuffix(".sql") for file in _FOLDER.iterdir() if file.name.endswith(".sql"))


def load(name: str) -> Question:
    """A question by its name.

    :raises ValueError: if there is none of this name.
    """
    if name not in names():
        raise ValueError(f"there is no question {name!r}; there are {', '.join(names())}")
    text = (_FOLDER / f"{name}.sql").read_text("utf-8")
    comments = [line for line in text.splitlines() if line.startswith("--")]
    parameters = next(line.removeprefix(_PARAMETERS) for line in comments if line.startswith(_PARAMETERS))
    description = " ".join(line.removeprefix("-- ") for line in comments if not line.startswith(_PARAMETERS))
    sql = "\n".join(line for line in text.splitlines() if not line.startswith("--")).strip()
    return Question(name, description, tuple(parameters.replace(",", " ").split()), sql)


def ask(
    client: AthenaClient,
    name: str,
    parameters: dict[str, Parameter],
    *,
    database: str,
    workgroup: str,
    timeout: float = 60,
) -> athena.Result:
    """Ask a question by its name; see `athena.query` for the rest."""
    question = load(name)
    values = question.values(parameters)
    return athena.query(
        client, question.sql, database=database, workgroup=workgroup, parameters=values, timeout=timeout
    )


def _day(value: Parameter) -> str:
    if isinstance(value, datetime):
        value = value.astimezone(UTC).date()
    return value.isoformat() if isinstance(value, date) else date.fromisoformat(str(value)).isoformat()
