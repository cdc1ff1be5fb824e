"""The stack on this machine, which `env` and `logs` use by default.

The package with the stack calls `use` when it registers its commands; this module knows only its interface.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.errors import BadSettings


class Running(Protocol):
    """A stack that is up."""

    @property
    def outputs(self) -> dict[str, Any]:
        """Return Terraform's outputs by name."""

    def client(self, service: str) -> Any:
        """Return a boto3 client of the stack."""


@dataclass(frozen=True, slots=True)
class Local:
    """Functions that find the stack; both raise a CommandError if it is not up."""

    current: Callable[[], Running]
    environment: Callable[[], dict[str, str]]


_used: list[Local] = []


def use(found: Local) -> None:
    """Use this stack from now on."""
    _used[:] = [found]


def installed() -> bool:
    """Return whether a package has a stack for this machine."""
    return bool(_used)


def stack() -> Local:
    """Return the stack of this machine. Raises BadSettings if no package has one."""
    if not _used:
        raise BadSettings("name a deployment: no stack for this machine is installed")
    return _used[0]
