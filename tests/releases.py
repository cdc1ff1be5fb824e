"""Made-up releases of auth0-sync: the product's migrations of today, those of later versions, and a user's own."""

import re
import shutil
from datetime import datetime
from pathlib import Path

from pipeline.migration.__main__ import create
from pipeline.migration.files import DIRECTORY, Migrations

HEAD = Migrations().product[-1].revision
"""The product's newest revision. Tests of the product stop there: a fork has migrations of its own beyond it."""


class Release:
    """A directory of migrations with the product's of today, and without what a fork has in ``migrations/own``."""

    def __init__(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "migrations"
        shutil.copytree(DIRECTORY, self.directory, ignore=shutil.ignore_patterns("__pycache__", "u*.py"))

    @property
    def head(self) -> str:
        """Return the revision of the product's newest migration."""
        return Migrations(self.directory).product[-1].revision

    def product(self, name: str, up: str = "pass", down: str = "pass") -> str:
        """Add the product's next migration, and return its revision."""
        return _fill(create(name, product=True, directory=self.directory), up, down)

    def own(self, name: str, up: str = "pass", down: str = "pass", *, now: datetime | None = None) -> str:
        """Add one of the user's own, as `make own-migration` does, and return its revision."""
        return _fill(create(name, directory=self.directory, now=now), up, down)

    def file(self, revision: str) -> Path:
        """Return the file of a migration."""
        [path] = self.directory.glob(f"*/{revision}_*.py")
        return path

    def edit(self, revision: str, /, **values: object) -> None:
        """Give variables of a migration other values, such as ``down_revision``."""
        path = self.file(revision)
        text = path.read_text("utf-8")
        for name, value in values.items():
            text = re.sub(rf"^{name} = .*$", f"{name} = {value!r}", text, flags=re.MULTILINE)
        _write(path, text)

    def without(self, *revisions: str, to: Path) -> "Release":
        """Return another checkout, which lacks some migrations."""
        other = Release(to)
        shutil.rmtree(other.directory)
        shutil.copytree(self.directory, other.directory, ignore=shutil.ignore_patterns("__pycache__"))
        for revision in revisions:
            other.file(revision).unlink()
        return other


def _fill(path: Path, up: str, down: str) -> str:
    text = path.read_text("utf-8")
    text = text.replace('op.execute("the statements of the migration")', up)
    _write(path, text.replace('op.execute("the statements that take it back")', down))
    return path.name.partition("_")[0]


def _write(path: Path, text: str) -> None:
    """Replace a migration. Python tells a file's versions by second and size, which may be those of the last one."""
    path.write_text(text, "utf-8")
    shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)
