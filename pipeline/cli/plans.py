"""Show plans, and ask for confirmation."""

from typing import Final

from pipeline.cli.terminal import ask, can_ask, console, in_markup, lines_in_markup
from pipeline.deploy import DeployError
from pipeline.deploy.applying import stage_of
from pipeline.deploy.deployment import Deployment
from pipeline.deploy.planning import Plan
from pipeline.deploy.preflight import Identity

SHOWN: Final = 20
"""Most changed resources to list; replaced and destroyed ones are always listed."""

_VERBS: Final = {"create": "to create", "update": "to change", "replace": "to replace", "delete": "to destroy"}
_SIGNS: Final = {"update": "[yellow]~[/]", "replace": "[red]±[/]", "delete": "[red]-[/]"}


def show(deployment: Deployment, identity: Identity, planned: Plan) -> None:
    """Show the planned changes, and the data that they would lose."""
    console.print()
    console.print(
        f"[bold]{deployment.name}[/], account {in_markup(identity.account)}, region {in_markup(identity.region)}: "
        f"{counted(planned) or 'no changes'}",
        highlight=False,
    )
    created: dict[str, int] = {}
    updates = 0
    for change in planned.changes:
        if change.action == "create":
            stage = stage_of(change.address)
            created[stage] = created.get(stage, 0) + 1
        elif change.action != "update" or (updates := updates + 1) <= SHOWN:
            why = f" ({change.reason.replace('_', ' ')})" if change.reason else ""
            console.print(f"  {_SIGNS[change.action]} {in_markup(change.address + why)}", highlight=False)
    if updates > SHOWN:
        console.print(f"  [yellow]~[/] and {updates - SHOWN} more", highlight=False)
    if created:
        parts = ", ".join(f"{stage} {count}" for stage, count in created.items())
        console.print(f"  [green]+[/] {parts}", highlight=False)
    if planned.warnings:
        console.print(f"[yellow]{lines_in_markup(planned.warnings)}[/]", highlight=False)
    for change in planned.losses:
        console.print(f"[bold red]Lost for good:[/] {change.loses} ({in_markup(change.address)})", highlight=False)
    console.print()


def counted(planned: Plan) -> str:
    """Return the plan in a few words, or nothing if it is empty."""
    counts = planned.counts
    said = [f"{counts[action]} {verb}" for action, verb in _VERBS.items() if counts[action]]
    return ", ".join(said) or ("outputs only" if planned.outputs_change else "")


def confirm_plan(deployment: Deployment, planned: Plan, *, yes: bool, allow_data_loss: bool) -> None:
    """Ask whether to apply the plan. Raises DeployError if not."""
    if not planned.losses:
        confirm("Apply this plan? Only 'yes' will be accepted", "yes", yes=yes, what="apply")
        return
    confirm_loss(deployment.name, "The plan", yes=yes, allow_data_loss=allow_data_loss, what="apply")


def confirm_loss(env: str, subject: str, *, yes: bool, allow_data_loss: bool, what: str) -> None:
    """Ask for the environment's name before data is lost. Raises DeployError for any other answer."""
    if yes and not allow_data_loss:
        raise DeployError(f"{subject} loses data for good, which --yes alone does not allow; --allow-data-loss does.")
    confirm(f"This loses data. Type the environment's name ({env}) to {what}", env, yes=yes, what=what)


def confirm(question: str, answer: str, *, yes: bool, what: str) -> None:
    """Ask for the answer, unless confirmed in advance. Raises DeployError for any other."""
    if yes:
        return
    if not can_ask():
        raise DeployError(f"There is no terminal for the question. To {what} without it: --yes, or AUTO_APPROVE=1.")
    if ask(question) != answer:
        raise DeployError(f"Not confirmed, so nothing was changed (to {what}, answer: {answer}).")
