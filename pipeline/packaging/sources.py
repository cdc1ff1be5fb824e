"""Find the project's own files of a package, the handler and its imports, by parsing the code."""

import ast
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from pipeline.packaging.functions import Function
from pipeline.packaging.target import ROOT, PackagingError

# CPython 3.11 counts the depth of all trees in one place, and sometimes fails ("AST constructor recursion depth
# mismatch") if threads parse at the same time.
_ONE_AT_A_TIME: Final = threading.Lock()


def files(spec: Function) -> list[tuple[str, Path]]:
    """Return the project's files that the function needs, by their names in the package, in order.

    Raises PackagingError if one is missing.
    """
    named = [path for pattern in spec.files for path in _matching(pattern)]
    handler = _module(spec.handler)
    if handler is None:
        raise PackagingError(f"There is no module {spec.handler}, the handler of a function")
    excluded = {_module(name) for name in spec.without}
    found = set(named)
    waiting = [handler, *(path for path in named if path.suffix == ".py")]
    while waiting:
        path = waiting.pop()
        found.add(path)
        for name in _imported(path):
            for part in _with_parents(name):
                module = _module(part)
                if module is not None and module not in excluded and module not in found:
                    found.add(module)
                    waiting.append(module)
    found |= {parent for path in found for parent in _initial(path)}
    return sorted((path.relative_to(ROOT).as_posix(), path) for path in found)


def _matching(pattern: str) -> list[Path]:
    found = [path for path in ROOT.glob(pattern) if path.is_file()]
    if not found:
        raise PackagingError(f"There is no {pattern}, which a package needs")
    return found


def _module(name: str) -> Path | None:
    """Return the file of one of the project's modules."""
    path = ROOT.joinpath(*name.split("."))
    if name.partition(".")[0] != "pipeline":
        return None
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        yield ".".join(parts[:length])


def _initial(path: Path) -> Iterator[Path]:
    """Yield the `__init__.py` of the packages that a module is in."""
    for directory in path.relative_to(ROOT).parents:
        file = ROOT / directory / "__init__.py"
        if path.suffix == ".py" and file.is_file():
            yield file


def _imported(path: Path) -> tuple[str, ...]:
    """Return the imports of a file, at its start or in a function; for `from a import b` both `a` and `a.b`."""
    return _imports(path, path.read_text("utf-8"))


@cache
def _imports(path: Path, code: str) -> tuple[str, ...]:
    """Parse a file once for all functions that it is a part of."""
    with _ONE_AT_A_TIME:
        waiting: list[ast.AST] = [ast.parse(code, str(path))]
    found: list[str] = []
    while waiting:
        node = waiting.pop()
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=otherwise):
                waiting += otherwise
                continue
            case ast.Import(names=names):
                found += (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                found += (f"{module}.{alias.name}" for alias in names)
            case ast.ImportFrom():
                raise PackagingError(f"{path.relative_to(ROOT)} has a relative import, which packaging does not follow")
        waiting += ast.iter_child_nodes(node)
    return tuple(found)
