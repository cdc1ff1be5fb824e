"""Findings of watched questions: identify a row as one finding, and write the message about new ones."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from pipeline.archive.questions import Question
from pipeline.foreign import plain

LARGEST = 256 * 1024
"""Bytes of UTF-8 that SNS takes as one message."""
LONGEST = 1000
"""Characters shown of a value; users choose some values, and a request's body can be very long."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A row, and the key by which the watch remembers it: a digest, so that the table holds no personal data."""

    key: str
    row: Mapping[str, Any]


def collect(question: Question, rows: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Return the findings in the order of their rows, each once.

    All columns identify a row whose `finding` columns are all empty: two logs without an id are two findings.
    """
    found: dict[str, Finding] = {}
    for row in rows:
        identity = [row[column] for column in question.finding]
        if all(value is None for value in identity):
            identity = list(row.values())
        digest = sha256(json.dumps(identity, default=str).encode()).hexdigest()
        key = f"{question.name}#{digest}"
        found.setdefault(key, Finding(key, row))
    return list(found.values())


def subject(deployment: str, question: Question, number: int) -> str:
    """Return the subject of a message: up to 100 characters of ASCII, as SNS wants it."""
    return f"{deployment}: {number} new: {question.title}"[:100]


def message(question: Question, found: Sequence[Finding], further: str) -> str:
    """Return the text of a message: the findings, as many as fit, and the command for more."""
    parts = [f"{question.title}: {len(found)} new", question.description]
    end = f"To look further:\n\n{further}\n"
    more = "… and {} more"
    left = LARGEST - sum(len(part.encode()) + 2 for part in (*parts, more.format(len(found)), end))
    for number, finding in enumerate(found):
        text = "\n".join(f"{plain(name)}: {_plain(value)}" for name, value in finding.row.items() if value is not None)
        left -= len(text.encode()) + 2
        if left < 0:
            parts.append(more.format(len(found) - number))
            break
        parts.append(text)
    return "\n\n".join((*parts, end))


def command(env: str, question: Question, given: Mapping[str, str], since: str) -> str:
    """Return the commands that ask a question again, for a shell."""
    values = "".join(f" {name}={shlex.quote(_plain(value))}" for name, value in given.items())
    return f'eval "$(auth0-sync env --env {env})"\nauth0-sync ask {question.name} since={since}{values}'


def _plain(value: Any) -> str:
    """Return the beginning of a value as one line of text."""
    text = str(value)
    return plain(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")
