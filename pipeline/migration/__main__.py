"""Make the file of a new migration: ``python -m pipeline.migration NAME``, for the product with ``--product``."""

import argparse
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import Auth0SyncError
from pipeline.migration.files import DIRECTORY, OWN, PRODUCT, Migrations


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_ -]*", text):
        raise argparse.ArgumentTypeError("say what it does in letters, digits, spaces, - and _: NAME=promote_plan")
    return text


def create(name: str, *, product: bool = False, directory: Path = DIRECTORY, now: datetime | None = None) -> Path:
    """Write a migration from ``migrations/script.py.mako`` that follows the newest one of its branch, and return it.

    One of the user's own depends on the product's newest one, as it is written for that schema.
    """
    migrations = Migrations(directory)
    branch, chain = (PRODUCT, migrations.product) if product else (OWN, migrations.own)
    last = chain[-1].revision if chain else None
    number = int(last.removeprefix("u")) + 1 if last else 1
    if not product:
        number = max(number, int(f"{now or datetime.now(UTC):%Y%m%d%H%M}"))
    needs = [each.revision for each in migrations.product[-1:]]
    made = migrations.generate_revision(
        f"{number:04}" if product else f"u{number:012}",
        name.replace("_", " "),
        head=last or "base",
        branch_labels=OWN.name if not (product or last) else None,
        version_path=directory / branch.folder,
        depends_on=None if product else needs,
        own=not product,
    )
    assert made is not None  # noqa: S101 - Alembic returns None only where there is no revision in the file
    return Path(made.path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the new file and print its path."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.migration", description=__doc__)
    parser.add_argument("name", type=_name, help="what it does, such as promote_plan")
    parser.add_argument("--product", action="store_true", help="for those who work on auth0-sync itself")
    given = parser.parse_args(arguments)
    try:
        print(create(given.name, product=given.product))  # noqa: T201 - its one result
    except Auth0SyncError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
