"""The commands of the local stack; the entry point group ``auth0_sync.commands`` adds them to ``auth0-sync``."""

from typing import TYPE_CHECKING

from pipeline.cli import commands, local

if TYPE_CHECKING:
    from devstack.stack import Stack


def register() -> None:
    """Add the commands, and register the stack for the commands that use it by default."""
    commands.add(
        "demo",
        "devstack.cli.demo",
        "Start the embedded stack, put Auth0 traffic on its bus, and show the result in every store.",
    )
    commands.add(
        "events",
        "devstack.cli.events",
        "Print realistic Auth0 events as EventBridge delivers them, one JSON document per line.",
    )
    commands.add(
        "up",
        "devstack.cli.stack",
        "Start the embedded stack: Postgres and an AWS emulator on loopback, with the real Terraform applied.",
    )
    commands.add("down", "devstack.cli.stack", "Stop the embedded stack and delete its data; nothing is left running.")
    commands.add(
        "status", "devstack.cli.stack", "Print which parts of the embedded stack run. Exit code 3 if it cannot be used."
    )
    local.use(local.Local(_current, _environment))


def _current() -> "Stack":
    from devstack import stack

    return stack.current()


def _environment() -> dict[str, str]:
    from devstack import stack

    return stack.environment(stack.current())
