"""How a patch takes the place of a MiniStack function, so that an upgrade that moves the function is noticed."""

import inspect
from collections.abc import Callable
from importlib.metadata import version
from types import ModuleType
from typing import Any


class PatchError(RuntimeError):
    """MiniStack no longer has the function that a patch replaces."""


def replace(module: ModuleType, name: str, new: Callable[..., Any]) -> Callable[..., Any]:
    """Put ``new`` in the place of ``module.name`` and return what was there.

    Raises ``PatchError`` where the function is gone, or takes other parameters than ``new`` does: then MiniStack was
    upgraded, and the patch has to be read again beside the new source.
    """
    old = _checked(getattr(module, name, None), f"{module.__name__}.{name}", new)
    setattr(module, name, new)
    return old


def replace_action(
    module: ModuleType, action: str, new: Callable[..., Any], *, of: str = "_ACTION_MAP"
) -> Callable[..., Any]:
    """Put ``new`` in the place of an API operation in the module's table ``of``, which holds functions and not names.

    Returns what was there; raises as ``replace`` does.
    """
    table: dict[str, Any] = getattr(module, of, {})
    old = _checked(table.get(action), f"{module.__name__}.{of}[{action!r}]", new)
    table[action] = new
    return old


def _checked(old: Any, where: str, new: Callable[..., Any]) -> Callable[..., Any]:
    if not callable(old):
        raise PatchError(_advice(f"{where} is gone", new))
    expected, found = list(inspect.signature(new).parameters), list(inspect.signature(old).parameters)
    if expected != found:
        raise PatchError(_advice(f"{where} takes ({', '.join(found)}), not ({', '.join(expected)})", new))
    replaced: Callable[..., Any] = old
    return replaced


def require(module: ModuleType, *names: str) -> None:
    """Raise ``PatchError`` unless ``module`` has every one of ``names``: what a patch calls or reads but leaves."""
    for name in names:
        if not hasattr(module, name):
            raise PatchError(_advice(f"{module.__name__}.{name} is gone", inspect.currentframe()))


def _advice(problem: str, patch: object) -> str:
    source = getattr(patch, "__module__", None)
    if inspect.isframe(patch) and patch.f_back is not None:
        source = patch.f_back.f_globals["__name__"]
    return (
        f"MiniStack {version('ministack')}: {problem}. "
        f"Compare {source} with the new MiniStack source and adapt or remove the patch."
    )
