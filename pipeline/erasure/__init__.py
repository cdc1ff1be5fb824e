"""Erase a person from every place of a deployment that holds data about them.

Each place has a file. All of them look first, and erase only on request; a second run finishes an interrupted one.
"""

from dataclasses import dataclass, field


@dataclass
class Place:
    """A place that may hold data about the person, and the result of the erasure there."""

    name: str
    found: int = 0
    """Rows, items, lines, objects or messages about the person."""
    unit: str = ""
    erased: int = 0
    kept: str = ""
    """The remaining data about the person, the reason, and its end; empty if nothing remains."""
    problems: list[str] = field(default_factory=list)
    """Data that was not erased, and that a person must look at."""


REMAINS = (
    ("Auth0", "the tenant's own logs, for the days of your plan; export files, for 24 hours"),
    (
        "Aurora",
        "backups and point-in-time recovery, for aurora.backup_retention_days; snapshots, until you delete them",
    ),
    ("DynamoDB", "point-in-time recovery, for 35 days; backups that you made, until you delete them"),
    ("Athena", "the text of queries that named the person, this one's included, for 45 days"),
    ("events under way", "on a bus for 24 hours, in queues for queues.retention_seconds: run this again afterwards"),
    ("mails and messages of the watch", "where its subscribers keep them"),
    ("logs of functions", "a pseudonym, and no other personal data, for logs.retention_days"),
)
"""Copies that the command does not reach, and how long they stay."""
