"""Invoke the deployed migration function, and read its answer."""

from dataclasses import dataclass
from typing import Any, Final

from pipeline import invocation


@dataclass(frozen=True)
class Migrated:
    """The revisions before and after, of the product and of the user's own; None: before the first migration."""

    before: str | None
    after: str | None
    own_before: str | None = None
    own_after: str | None = None

    def __str__(self) -> str:
        """Return `0005 → 0006`, or `0005, unchanged`; then the same of the user's own, if there are any."""
        parts = [_move(self.before, self.after)]
        if self.own_before or self.own_after:
            parts.append(f"your own {_move(self.own_before, self.own_after)}")
        return "; ".join(parts)


LOSES_DATA: Final = "LosesData"
"""The function's error when a migration would take revisions back without permission."""


def migrate(client: Any, function: str, env: str, revision: str = "head", *, allow_data_loss: bool = False) -> Migrated:
    """Bring the schema to a revision. Raises CommandError with the function's error and the end of its log."""
    failed = f"The migration to {revision} failed. The failed revision was rolled back; those before it stay."
    event = {"revision": revision} | ({"allow_data_loss": True} if allow_data_loss else {})
    result = invocation.call(client, function, event, failed=failed, logs=invocation.logs_command("migrate", env))
    own = result.get("own", {})
    return Migrated(result["from"], result["to"], own.get("from"), own.get("to"))


def _move(before: str | None, after: str | None) -> str:
    return f"{after or 'none'}, unchanged" if before == after else f"{before or 'none'} → {after or 'none'}"
