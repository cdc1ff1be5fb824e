"""The roles in Postgres, with the least rights that each needs: statements that an administrator runs.

``auth0_migrator`` owns schema ``auth0``, ``auth0_writer`` is the sync, ``auth0_reader`` reads. Roles and migrations can
be run in either order, and each again: what a later migration makes has its rights at once.
"""

from importlib.resources import files
from typing import Final

NAMES: Final = ("auth0_migrator", "auth0_writer", "auth0_reader")
"""The roles that sign in."""

READERS: Final = "auth0_readers"
"""The role without a login that holds what readers may do."""

ROLES: Final = files(__name__).joinpath("roles.sql").read_text("utf-8")
DEDICATED: Final = files(__name__).joinpath("dedicated.sql").read_text("utf-8")


def statements() -> tuple[str, ...]:
    """The statements for a database of our own, in order, to be run in one transaction; without comments."""
    return (*_split(ROLES), *_split(DEDICATED))


def _split(text: str) -> tuple[str, ...]:
    """The Data API looks for parameters in comments as well, and an apostrophe in one would open a string."""
    code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return tuple(statement.strip().removesuffix(";") for statement in code.split("\n\n") if statement.strip())
