"""Keep passwords out of the files of variables, which are committed: `TF_VAR_database_url=…` is for them."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from pipeline.deploy import DeployError
from pipeline.deploy.deployment import Deployment

_URL: Final = re.compile(r'^\s*"?(?P<name>(?:migration_|reader_)?database_url)"?\s*=\s*"(?P<value>(?:[^"\\]|\\.)*)"')


def check(deployment: Deployment) -> str:
    """Return a warning if the file of variables has a password, else nothing. Raises DeployError if git tracks it."""
    file = deployment.variables_file
    found = list(_with_password(file))
    if not found:
        return ""
    number, name = found[0]
    shown = file.relative_to(deployment.root)
    instead = f"Give the URL as an environment variable instead, where a command needs it: export TF_VAR_{name}='postgresql://…'"
    if _tracked(file):
        raise DeployError(
            f"{shown}:{number} has the password of {name}, and git tracks the file: everybody who can read the "
            f"repository has the password.\nChange the password, and delete the line. {instead}"
        )
    return f"Warning: {shown}:{number} has the password of {name}. Do not commit the file. {instead}"


def _with_password(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the number of each line with a URL that has a password, and the variable."""
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        if (found := _URL.match(line)) and _has_password(found["value"]):
            yield number, found["name"]


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.password) or "password" in parse_qs(parts.query)
    except ValueError:
        return True  # libpq may read what urllib does not


def _tracked(file: Path) -> bool:
    git = shutil.which("git")
    if git is None:
        return False
    done = subprocess.run(  # noqa: S603 - git from PATH with arguments of ours
        [git, "-C", file.parent, "ls-files", "--error-unmatch", "--", file.name],
        stdin=subprocess.DEVNULL, capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode == 0
