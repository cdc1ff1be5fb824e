"""The commands of the local stack; the entry point group ``auth0_sync.commands`` adds them to ``auth0-sync``.

``pipeline.cli`` loads this package. Import that one first: the commands use its consoles.
"""

import typer

from devstack import stack as embedded
from devstack.cli import demo, events, stack
from pipeline.cli import local


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``, and give the stack to the commands that use it where no deployment is named."""
    for command in (demo.demo, events.events, stack.up, stack.down, stack.status):
        app.command()(command)
    local.use(local.Local(embedded.current, lambda: embedded.environment(embedded.current())))
