"""Share botocore's parsed models and checks of handlers, and Typer's commands, among the tests of a process.

Commands and actors have sessions of their own, each of which would parse the models of its services, and look into the
signature and the event of each of a hundred handlers. Typer would make every loaded command again for each that runs.
"""

from functools import cache
from typing import Any

import typer.main
import typer.testing
from botocore import hooks, session
from botocore.handlers import BUILTIN_HANDLERS
from botocore.loaders import create_loader

_hooks: Any = hooks
_session: Any = session
_testing: Any = typer.testing

_HANDLERS = {handler for _, handler, *_ in BUILTIN_HANDLERS}
_accepts_kwargs = _hooks.accepts_kwargs
_alias = _hooks.EventAliaser._alias_event_name


@cache
def _event(name: str) -> Any:
    return _alias(_hooks.EventAliaser(None), name)


@cache
def _parsed(_search_path: str | None) -> dict[Any, Any]:
    return {}


def _loader(search_path: str | None = None) -> Any:
    loader: Any = create_loader(search_path)
    loader._cache = _parsed(search_path)
    return loader


def share() -> None:
    """Let the sessions and commands of all tests share these."""
    _hooks.accepts_kwargs = lambda handler: handler in _HANDLERS or _accepts_kwargs(handler)
    _hooks.EventAliaser._alias_event_name = lambda _self, name: _event(name)
    _session.create_loader = _loader
    typer.main.get_command = _testing._get_command = cache(typer.main.get_command)
