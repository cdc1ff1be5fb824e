"""The migrations of a package: the product's and the user's own, each a chain of increasing numbers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alembic.script import Script, ScriptDirectory
from alembic.script.revision import RevisionError, RevisionMap
from alembic.util import CommandError

from pipeline.errors import Auth0SyncError

DIRECTORY: Final = Path(__file__).parents[2] / "migrations"
"""Directory of the migrations, in the repository and in the package of the migration function."""


class BadMigrations(Auth0SyncError):
    """The database cannot be migrated."""


@dataclass(frozen=True)
class Branch:
    """A chain of migrations: its folder in ``migrations/``, and the form of its revisions."""

    name: str
    folder: str
    pattern: str
    example: str

    def has(self, revision: object) -> bool:
        """Return whether ``revision`` has the form of this branch."""
        return isinstance(revision, str) and re.fullmatch(self.pattern, revision, re.ASCII) is not None


PRODUCT: Final = Branch("product", "versions", r"\d{4}", "0006")
OWN: Final = Branch("own", "own", r"u\d{12}", "u202611260930")
"""Numbered by the minute of creation, so that two clones do not give two migrations the same number."""


class Migrations(ScriptDirectory):
    """Alembic's directory of migrations, with both branches checked. Raises ``BadMigrations``.

    ``needs`` has the revisions of ``depends_on``. Alembic itself does not see them: it would delete the product's row
    from ``alembic_version`` as soon as a migration depends on that revision.
    """

    def __init__(self, directory: Path = DIRECTORY) -> None:
        folders = [directory / branch.folder for branch in (PRODUCT, OWN)]
        super().__init__(
            directory, version_locations=folders, file_template="%(rev)s_%(slug)s", messaging_opts={"quiet": True}
        )
        try:
            found = list(self._load_revisions())
        except (CommandError, RevisionError) as error:
            raise BadMigrations(f"Alembic cannot read the files in migrations: {error}") from error
        self.product = _chain(PRODUCT, found)
        self.own = _chain(OWN, found)
        self.needs = {script.revision: _need(script) for script in found}
        for script in found:
            script.dependencies = None
        self.revision_map = RevisionMap(lambda: found)
        self.get_heads()  # Alembic links the revisions at the first access


def _chain(branch: Branch, found: Sequence[Script]) -> tuple[Script, ...]:
    """Return the branch's migrations by number, which must also be the order of ``down_revision``."""
    scripts = [script for script in found if Path(script.path).parent.name == branch.folder]
    for script in scripts:
        if not branch.has(script.revision):
            raise BadMigrations(f"{_file(script)} has the revision {script.revision!r}. {_ADVICE[branch.name]}")
    scripts.sort(key=lambda script: script.revision)
    for before, script in zip([None, *scripts], scripts, strict=False):
        if before is not None and before.revision == script.revision:
            raise BadMigrations(
                f"{_file(before)} and {_file(script)} are both revision {script.revision}. {_TWICE[branch.name]}"
            )
        expected = before and before.revision
        if script.down_revision != expected:
            raise BadMigrations(
                f"{_file(script)} follows {script.down_revision}, and must follow {expected}, which is before it by "
                f"number. If no database has run it, set its down_revision to {expected!r}; if one has, give "
                f"{expected} a later number and let it follow {script.revision}"
            )
    return tuple(scripts)


_MAKE: Final = "make own-migration NAME=…"
_ADVICE: Final = {
    PRODUCT.name: f"The product's are numbered like {PRODUCT.example}; one of your own goes to migrations/own: {_MAKE}",
    OWN.name: f"Your own are numbered like {OWN.example}: {_MAKE}",
}
_TWICE: Final = {
    PRODUCT.name: "Is one of them yours? If a database has run it, take it back first, with the package that has it "
    f"(make migrate REVISION=…, the revision before it). Then make it one of your own: {_MAKE}",
    OWN.name: "Give the one that no database has run a later number, and let it follow the other",
}


def _need(script: Script) -> str | None:
    """Return the newest product revision that the migration depends on."""
    match script.dependencies:
        case None:
            return None
        case str(one):
            names: tuple[str, ...] = (one,)
        case several:
            names = tuple(several)
    if not all(map(PRODUCT.has, names)):
        raise BadMigrations(
            f"{_file(script)} depends on {', '.join(names)}: depends_on is for revisions of the product, such as "
            f"{PRODUCT.example}"
        )
    return max(names)


def _file(script: Script) -> str:
    path = Path(script.path)
    return f"migrations/{path.parent.name}/{path.name}"
