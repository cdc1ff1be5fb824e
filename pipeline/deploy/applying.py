"""Apply a plan and show its progress by stages of the deployment."""

import re
import time
from collections import Counter
from contextlib import AbstractContextManager
from typing import Final

from pipeline.deploy.deployment import Deployment
from pipeline.deploy.planning import MODULE, Change, Plan
from pipeline.progress import Progress, Step
from pipeline.terraform import PARALLELISM, Message

STAGES: Final = (
    ("Encryption key", r"module\.key"),
    ("Network", r"module\.network"),
    ("Database", r"module\.database"),
    ("Migration functions", r"module\.(roles|migrate)"),
    ("Database roles", r"aws_lambda_invocation\.roles"),
    ("Migration", r"aws_lambda_invocation\.migrate"),
    ("Archive", r"module\.archive"),
    ("Users table", r"module\.users_table"),
    ("Sync to Postgres", r"module\.postgres_sink"),
    ("Sync to DynamoDB", r"module\.dynamodb_sink"),
    ("Refresh", r"module\.refresh"),
    ("Watch", r"module\.watch"),
    ("Reconcile", r"module\.reconcile"),
    ("Manifests", r"module\.manifest"),
    ("Alarms", r"module\.(source_)?observability"),
    ("Buses and rules", r"module\.(log_bus|event_bus|relay)|aws_cloudwatch_event_"),
    ("The rest", r""),
)
"""The stages of a deployment by title, with the parts of the module that have their resources."""

LONG: Final = 20.0
"""Seconds after which the progress names a resource that is still being created."""


class _Stage:
    """A stage: its number of operations, those that are done and those under way."""

    def __init__(self, title: str, total: int) -> None:
        self.title = title
        self.total = total
        self.done = 0
        self.began: dict[str, float] = {}
        self._shown: tuple[AbstractContextManager[Step], Step] | None = None

    def start(self, progress: Progress, address: str) -> None:
        self.began[address] = time.monotonic()
        if self._shown is None:
            context = progress.step(self.title)
            self._shown = context, context.__enter__()
        self.show()

    def finish(self, address: str) -> None:
        self.began.pop(address, None)
        self.done += 1
        self.show()
        if self.done >= self.total:
            self.close()

    def close(self, error: BaseException | None = None) -> None:
        """End the display of the stage, with the error that interrupted it, if any."""
        if self._shown:
            if error is None and not self.began and self.done < self.total:
                self.total = self.done  # Terraform found the rest as it should be
                self.show()
            self._shown[0].__exit__(type(error) if error else None, error, error.__traceback__ if error else None)
            self._shown = None

    def show(self) -> None:
        if self._shown is None:
            return
        text = f"{self.done} of {self.total}"
        slow = [(began, address) for address, began in self.began.items() if time.monotonic() - began > LONG]
        if slow:
            began, address = min(slow)
            text += f", for {time.monotonic() - began:.0f} s: {address}"
        self._shown[1].update(text)


def stage_of(address: str) -> str:
    """Return the title of the stage that a resource belongs to."""
    inside = address.removeprefix(MODULE)
    return next(title for title, pattern in STAGES if re.match(pattern, inside))


def apply(deployment: Deployment, plan: Plan, progress: Progress, *options: str) -> None:
    """Apply the last plan and nothing else, or, with `options`, what Terraform then plans by them.

    An interrupt lets Terraform write its state first. Raises TerraformError with Terraform's diagnostics.
    """
    totals: Counter[str] = Counter()
    for change in plan.changes:
        totals[stage_of(change.address)] += _operations(change)
    stages = {title: _Stage(title, total) for title, total in totals.items()}
    try:
        arguments = ["-json", "-input=false", f"-parallelism={PARALLELISM}", *(options or [str(deployment.plan_file)])]
        for message in deployment.terraform.stream("apply", *arguments):
            _follow(message, stages, progress)
    except BaseException as error:
        for stage in stages.values():
            stage.close(error)
        raise
    finally:
        deployment.plan_file.unlink(missing_ok=True)
    for stage in stages.values():
        stage.close()


def _operations(change: Change) -> int:
    return 2 if change.action == "replace" else 1


def _follow(message: Message, stages: dict[str, _Stage], progress: Progress) -> None:
    hook = message.get("hook", {})
    if hook.get("action") not in ("create", "update", "delete"):
        return  # the plan's count has no data sources
    address = hook["resource"]["addr"]
    stage = stages.get(stage_of(address))
    if stage is None:
        return
    match message["type"]:
        case "apply_start":
            stage.start(progress, address)
        case "apply_progress":
            stage.show()
        case "apply_complete":
            stage.finish(address)
