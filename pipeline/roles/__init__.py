"""The roles in Postgres, each with the least rights it needs: statements for an administrator.

``auth0_migrator`` owns schema ``auth0``, ``auth0_writer`` is the sync, ``auth0_reader`` reads, and so does
``auth0_query`` through the Data API. Roles and migrations run in either order, and can be repeated: migrations run
``RIGHTS`` too, so that their objects get their rights at once.
"""

from pathlib import Path
from typing import Final

MIGRATOR: Final = "auth0_migrator"
"""The role that owns the tables."""
QUERY: Final = "auth0_query"
"""The login of the Data API, which has a password."""
NAMES: Final = (MIGRATOR, "auth0_writer", "auth0_reader", QUERY)
"""The roles that sign in."""

READERS: Final = "auth0_readers"
"""The role without a login that has the rights of readers."""


def _read(name: str) -> str:
    return Path(__file__).with_name(f"{name}.sql").read_text("utf-8")


def _split(text: str) -> tuple[str, ...]:
    """Split SQL into statements without comments: the Data API reads parameters and quotes in comments, too."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return tuple(statement.strip().removesuffix(";") for statement in code.split("\n\n") if statement.strip())


ROLES: Final = "\n".join(_read(name) for name in ("roles", "rights", "end"))
"""Makes and repairs the roles, as SQL for psql in one transaction."""
DEDICATED: Final = _read("dedicated")
[RIGHTS] = _split(_read("rights"))
"""Gives the roles their rights in schema ``auth0``; does nothing unless ``auth0_migrator`` runs it."""
[REPORT] = _split(_read("report"))
"""Lists the rights of other roles on auth0-sync, and excess rights of its own roles."""


def statements() -> tuple[str, ...]:
    """Return the statements for a dedicated database, in order and without comments, for one transaction."""
    return (*_split(ROLES), *_split(DEDICATED))
