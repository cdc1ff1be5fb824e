"""The roles in Postgres, each with the least rights it needs: statements for an administrator.

``auth0_migrator`` owns schema ``auth0``, ``auth0_writer`` is the sync, ``auth0_reader`` reads. Roles and migrations run
in either order, and can be repeated: objects of later migrations get their rights at once.
"""

from importlib.resources import files
from typing import Final

NAMES: Final = ("auth0_migrator", "auth0_writer", "auth0_reader")
"""The roles that sign in."""

READERS: Final = "auth0_readers"
"""The role without a login that has the rights of readers."""

MIGRATOR: Final = "auth0_migrator"
"""The role that owns the tables."""

ROLES: Final = files(__name__).joinpath("roles.sql").read_text("utf-8")
DEDICATED: Final = files(__name__).joinpath("dedicated.sql").read_text("utf-8")


def statements() -> tuple[str, ...]:
    """Return the statements for a dedicated database, in order and without comments, for one transaction."""
    return (*_split(ROLES), *_split(DEDICATED))


def _split(text: str) -> tuple[str, ...]:
    """Split SQL into statements without comments: the Data API reads parameters and quotes in comments, too."""
    code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return tuple(statement.strip().removesuffix(";") for statement in code.split("\n\n") if statement.strip())
