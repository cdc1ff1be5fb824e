"""The source directory of packages, and the platform that they are for."""

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
"""Architecture of a Lambda function, by AWS's names."""


class PackagingError(CommandError):
    """A package could not be built; the message says which one and why."""


LAMBDA_PYTHON: Final = "3.13"
LAMBDA_GLIBC: Final = (2, 34)
"""Version of glibc on Amazon Linux 2023, on which Lambda's Python 3.13 runs."""

MACHINES: Final[dict[Architecture, str]] = {"arm64": "aarch64", "x86_64": "x86_64"}
"""The architectures by Linux's names."""


@dataclass(frozen=True, slots=True)
class Target:
    """The platform of a package. `architecture` is ignored if `platform` is `host`."""

    platform: Platform
    architecture: Architecture

    @property
    def label(self) -> str:
        """Return a short name for files."""
        return "host" if self.platform == "host" else f"lambda-{self.architecture}"

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the platform tags of the wheels that pip may install; none for its own platform."""
        if self.platform == "host":
            return ()
        # Both run on Lambda's glibc. Name the older tag, too: pip does not derive it from the newer one.
        machine = MACHINES[self.architecture]
        return (f"manylinux_2_28_{machine}", f"manylinux2014_{machine}")

    @property
    def identity(self) -> str:
        """Return everything about the target on which the choice of wheels depends."""
        if self.platform == "host":
            return f"{sys.implementation.cache_tag} {sysconfig.get_platform()}"
        return f"{LAMBDA_PYTHON} {self.tags}"
