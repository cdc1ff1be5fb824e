"""Where packages are built from, and what they are built for."""

import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pipeline.errors import CommandError

ROOT: Final = Path(__file__).resolve().parents[2]

Platform = Literal["host", "lambda"]
"""`host`: this interpreter, for the emulator's workers. `lambda`: Lambda's Python."""

Architecture = Literal["arm64", "x86_64"]
"""Of a Lambda function, in AWS's words."""


class PackagingError(CommandError):
    """A package could not be built; the message says which one and why."""


LAMBDA_PYTHON: Final = "3.13"
LAMBDA_GLIBC: Final = (2, 34)
"""Of Amazon Linux 2023, which Lambda's Python 3.13 runs on."""

MACHINES: Final[dict[Architecture, str]] = {"arm64": "aarch64", "x86_64": "x86_64"}
"""The architectures in the words of Linux."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a package is for. `architecture` is of no account for the host."""

    platform: Platform
    architecture: Architecture

    @property
    def label(self) -> str:
        """Short name, for files."""
        return "host" if self.platform == "host" else f"lambda-{self.architecture}"

    @property
    def tags(self) -> tuple[str, ...]:
        """Platform tags of the wheels that pip may take; empty for its own."""
        if self.platform == "host":
            return ()
        # Both run on Lambda's glibc. The older tag is named as well, since pip does not take it from the newer one.
        machine = MACHINES[self.architecture]
        return (f"manylinux_2_28_{machine}", f"manylinux2014_{machine}")

    @property
    def identity(self) -> str:
        """Everything about the target that decides which wheels are installed."""
        if self.platform == "host":
            return f"{sys.implementation.cache_tag} {sysconfig.get_platform()}"
        return f"{LAMBDA_PYTHON} {self.tags}"
