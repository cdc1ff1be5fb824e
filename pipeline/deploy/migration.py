"""The migration alone: the deployed function, invoked, and what it answered."""

from dataclasses import dataclass
from typing import Any

from pipeline import invocation


@dataclass(frozen=True)
class Migrated:
    """The revisions before and after; None is before the first migration."""

    before: str | None
    after: str | None


def migrate(client: Any, function: str, env: str, revision: str = "head") -> Migrated:
    """Bring the schema to a revision. Raises CommandError with the function's error and the end of its log."""
    failed = f"The migration to {revision} failed. What failed was rolled back; revisions before it stay."
    result = invocation.call(
        client, function, {"revision": revision}, failed=failed, logs=invocation.logs_command("migrate", env)
    )
    return Migrated(result["from"], result["to"])
