"""Replace functions of MiniStack, and detect upgrades that move or change them."""

import inspect
from collections.abc import Callable
from importlib.metadata import version
from types import ModuleType
from typing import Any


class PatchError(RuntimeError):
    """MiniStack no longer has the function that a patch replaces."""


def replace(module: ModuleType | type, name: str, new: Callable[..., Any]) -> Callable[..., Any]:
    """Replace ``name`` of a module or class by ``new`` and return the original.

    Raises ``PatchError`` if the function is missing, or its parameters differ from those of ``new``: then compare the
    patch with the source of the upgraded MiniStack.
    """
    old = _checked(getattr(module, name, None), f"{module.__name__}.{name}", new)
    setattr(module, name, new)
    return old


def replace_action(
    module: ModuleType, action: str, new: Callable[..., Any], *, of: str = "_ACTION_MAP"
) -> Callable[..., Any]:
    """Replace an API operation by ``new`` in the module's table ``of``, which holds functions and not names.

    Returns the original; raises as ``replace`` does.
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
    """Raise ``PatchError`` unless ``module`` has all ``names``, which a patch uses without replacing them."""
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
