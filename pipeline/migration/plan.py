"""Plan the steps from the revisions in a database to another revision. Each branch moves by itself.

``head`` runs each of the user's own migrations right after its dependency, so that a new database gets both branches in
the same order as an old one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alembic.script import Script

from pipeline.migration.files import OWN, PRODUCT, BadMigrations, Branch, Migrations

SYMBOLS = ("head", "base", "own@head", "own@base")
"""Names that a revision may have in place of a number."""


@dataclass(frozen=True)
class Revisions:
    """The revision of each branch in a database; None before its first migration."""

    product: str | None = None
    own: str | None = None

    @classmethod
    def of(cls, rows: Iterable[str]) -> "Revisions":
        """Read the rows of ``alembic_version``. Raises ``BadMigrations`` unless each branch has one at most."""
        rows = sorted(rows)
        found = {branch.name: [row for row in rows if branch.has(row)] for branch in (PRODUCT, OWN)}
        if sum(map(len, found.values())) != len(rows) or max(map(len, found.values())) > 1:
            raise BadMigrations(
                f"the database's auth0.alembic_version has {', '.join(rows)}. It must have one number like "
                f"{PRODUCT.example}, and one like {OWN.example} if there are migrations of your own. Put the rows "
                "right, by the tables that there are"
            )
        return cls(**{name: next(iter(row), None) for name, row in found.items()})


@dataclass(frozen=True)
class Step:
    """One migration to run or take back."""

    script: Script
    up: bool


def plan(migrations: Migrations, at: Revisions, target: str) -> list[Step]:
    """Return the steps from ``at`` to ``target``. Raises ``BadMigrations``.

    ``target`` is one of ``SYMBOLS``, or the number of a migration, which moves its branch and its dependencies.
    """
    product, own = _places(migrations, at)
    match target:
        case "head":
            return _up(migrations, product, own, len(product.chain), len(own.chain))
        case "base":
            return [*_down(own, 0, product), *_down(product, 0, own)]
        case "own@head":
            return _up(migrations, product, own, 0, len(own.chain))
        case "own@base":
            return _down(own, 0, product)
        case at.product | at.own:
            return []
        case _ if (to := product.find(target)) is not None:
            if product.newer or to < product.applied:
                return _down(product, to, own, _dependents(migrations, own, target))
            return _up(migrations, product, own, to, 0)
        case _ if (to := own.find(target)) is not None:
            if own.newer or to < own.applied:
                return _down(own, to, product)
            return _up(migrations, product, own, 0, to)
        case _:
            raise BadMigrations(
                f"there is no revision {target!r} in this package. It has {_span(product.chain)} of the product, and "
                f"{_span(own.chain)} of your own; beside a number, a revision is one of {', '.join(SYMBOLS)}"
            )


def left_alone(migrations: Migrations, at: Revisions) -> list[str]:
    """Return the database's revisions that are newer than the package: an earlier version has been deployed again."""
    return [place.revision for place in _places(migrations, at) if place.newer and place.revision]


class _Place:
    """A database's place on a branch: the number of applied migrations, or newer than the chain."""

    def __init__(self, branch: Branch, chain: Sequence[Script], revision: str | None) -> None:
        self.branch, self.chain, self.revision = branch, chain, revision
        applied = 0 if revision is None else self.find(revision)
        self.newer = applied is None
        self.applied = len(chain) if applied is None else applied
        if revision is not None and self.newer and chain and revision < chain[-1].revision:
            raise BadMigrations(
                f"the database has run {revision}, which this package lacks, although it has {chain[-1].revision}. "
                f"Take a checkout that has migrations/{branch.folder}/{revision}_….py too"
            )

    def find(self, revision: str) -> int | None:
        """Return the number of applied migrations at ``revision``; None if the chain lacks it."""
        return next((count for count, script in enumerate(self.chain, 1) if script.revision == revision), None)


def _places(migrations: Migrations, at: Revisions) -> tuple[_Place, _Place]:
    return _Place(PRODUCT, migrations.product, at.product), _Place(OWN, migrations.own, at.own)


def _up(migrations: Migrations, product: _Place, own: _Place, product_to: int, own_to: int) -> list[Step]:
    """Return the pending steps to these places, each of the user's own as early as its ``depends_on`` allows."""
    steps: list[Step] = []
    done = product.applied
    for script in own.chain[own.applied : own_to]:
        needed = max(done, _needed(migrations, product, script))
        steps += [Step(each, up=True) for each in product.chain[done:needed]]
        steps.append(Step(script, up=True))
        done = needed
    return steps + [Step(each, up=True) for each in product.chain[done:product_to]]


def _needed(migrations: Migrations, product: _Place, script: Script) -> int:
    """Return the number of product migrations that one of the user's own needs: all, if it names none."""
    need = migrations.needs[script.revision]
    if need is None:
        return len(product.chain)
    if (found := product.find(need)) is not None:
        return found
    if product.newer and product.revision is not None and need <= product.revision:
        return len(product.chain)
    raise BadMigrations(
        f"{script.revision} depends on {need}, which neither the database nor this package has. Take a version of the "
        "product that has it, or mend depends_on"
    )


def _down(place: _Place, to: int, other: _Place, dependents: Sequence[str] = ()) -> list[Step]:
    """Return the steps back. The package must have all applied migrations, as a missing one could depend on them."""
    for each in (place, other):
        if each.newer:
            raise BadMigrations(
                f"the database has run {each.revision}, which this package lacks, so nothing can be taken back. "
                "Use the package that has it"
            )
    if dependents:
        raise BadMigrations(
            f"migrations of your own depend on what would be taken back: {', '.join(dependents)}. Take these back "
            f"first, by the number before {dependents[0]}, or all of your own by own@base"
        )
    return [Step(script, up=False) for script in reversed(place.chain[to : place.applied])]


def _dependents(migrations: Migrations, own: _Place, target: str) -> list[str]:
    """Return the applied migrations of the user that need a product revision after ``target``."""
    applied = [script.revision for script in own.chain[: own.applied]]
    return [revision for revision in applied if (migrations.needs[revision] or "") > target]


def _span(chain: Sequence[Script]) -> str:
    return f"{chain[0].revision} to {chain[-1].revision}" if chain else "none"
