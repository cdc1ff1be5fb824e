"""Make a plan and summarise it for review."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from pipeline.deploy.deployment import Deployment
from pipeline.terraform import PARALLELISM, Message, describe

HOLDS_DATA: Final = {
    "aws_rds_cluster": "the Postgres database",
    "aws_dynamodb_table": "the users table",
    "aws_s3_bucket": "a bucket, with the objects in it",
    "aws_kms_key": "a key, without which what it encrypts cannot be read, nor what it signed be verified",
}
"""Types of resources that another apply cannot restore, with a description of the loss."""

MODULE: Final = "module.auth0_sync."
"""Prefix of every resource's address: the root has the module, and nothing beside it."""

NO_DATA: Final = (f"{MODULE}module.watch",)
"""Modules whose table only remembers findings: without it, the watch sends those of the last days again."""


def top(address: str) -> str:
    """Return the part of the module that contains a resource, without indices: `-target` takes all instances."""
    return ".".join(_parts(address)[:4])


def kind(address: str) -> str:
    """Return the type of a resource."""
    return _parts(address)[-2]


def _parts(address: str) -> list[str]:
    return re.sub(r"\[[^\]]*\]", "", address).split(".")


def held(address: str) -> str | None:
    """Return the data of a resource that another apply cannot restore, if any."""
    return None if top(address) in NO_DATA else HOLDS_DATA.get(kind(address))


# Import, move and forget change the state only; this configuration has none.
ACTIONS: Final = ("create", "update", "replace", "delete")


@dataclass(frozen=True)
class Change:
    """The planned change of one resource; `reason` is Terraform's, such as cannot_update."""

    action: str
    address: str
    kind: str
    reason: str = ""

    @property
    def loses(self) -> str | None:
        """Return the data that the change loses for good, if any."""
        return held(self.address) if self.action in ("replace", "delete") else None


@dataclass(frozen=True)
class Plan:
    """A plan in the deployment's directory, ready to apply."""

    changes: tuple[Change, ...] = ()
    outputs_change: bool = False
    warnings: str = ""

    def warned(self, warning: str) -> "Plan":
        """Return the plan with another warning, unless that is empty."""
        return replace(self, warnings="\n".join(filter(None, (self.warnings, warning))))

    @property
    def empty(self) -> bool:
        """Return whether an apply would change nothing."""
        return not self.changes and not self.outputs_change

    @property
    def counts(self) -> Counter[str]:
        """Return the number of resources by action."""
        return Counter(change.action for change in self.changes)

    @property
    def losses(self) -> tuple[Change, ...]:
        """Return the changes that lose data for good."""
        return tuple(change for change in self.changes if change.loses)


def make(deployment: Deployment, *options: str) -> Plan:
    """Plan, keep the plan for `apply`, and return its summary. Raises TerraformError."""
    arguments = ["-json", f"-out={deployment.plan_file}", f"-parallelism={PARALLELISM}", *deployment.inputs, *options]
    deployment.plan_file.unlink(missing_ok=True)
    try:
        found = read(deployment.terraform.stream("plan", *arguments))
    finally:
        if deployment.plan_file.exists():
            deployment.plan_file.chmod(0o600)
    return found


def read(messages: Iterable[Message]) -> Plan:
    """Return the plan that Terraform's messages describe."""
    changes, warnings, outputs_change = [], [], False
    for message in messages:
        match message.get("type"):
            case "planned_change":
                change = message["change"]
                resource = change["resource"]
                if change["action"] in ACTIONS:
                    reason = change.get("reason", "")
                    changes.append(Change(change["action"], resource["addr"], resource["resource_type"], reason))
            case "outputs":
                outputs_change = any(output.get("action") != "noop" for output in message["outputs"].values())
            case "diagnostic" if message["diagnostic"]["severity"] == "warning":
                # The commands plan in part on purpose, and say so themselves.
                if message["diagnostic"]["summary"] != "Resource targeting is in effect":
                    warnings.append(message["diagnostic"])
    ordered = sorted(changes, key=lambda change: (ACTIONS.index(change.action), change.address))
    return Plan(tuple(ordered), outputs_change, describe(warnings))
