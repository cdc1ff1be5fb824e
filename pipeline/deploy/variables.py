"""Write an environment's file of variables from an example, and read the values that Auth0 and the account decide."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.deploy import DeployError
from pipeline.deploy.deployment import PLACEHOLDER, placeholders

EXAMPLES: Final = ("minimal", "production", "own-database")
ENVIRONMENT: Final = re.compile(r"[a-z][a-z0-9]{0,9}")
REGION: Final = re.compile(r"[a-z]{2,3}(-[a-z]+)+-[0-9]")
_EMAIL: Final = re.compile(r"[A-Za-z0-9.!#&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
_NAMES: Final = ("environment", "region", "source_region", "log_stream_source_name", "event_stream_source_name")
_VALUE: Final = re.compile(rf'(?<![\w.])({"|".join(_NAMES)})\s*=\s*"((?:[^"\\]|\\.)*)"')
_AUTH0: Final = re.compile(r"(?:^#.*\n)*^auth0 = \{\n(?:.*\n)*?\}\n", re.M)


@dataclass(frozen=True)
class Values:
    """The values that `init` knows."""

    environment: str
    region: str
    source_region: str
    """The region of the event sources, perhaps the same."""
    log_stream_source_name: str
    event_stream_source_name: str
    """Empty if there is no Event Stream."""

    def settings(self) -> dict[str, str]:
        """Return each variable that the file must set."""
        found = {name: getattr(self, name) for name in _NAMES}
        if self.source_region == self.region:
            del found["source_region"]
        return {name: value for name, value in found.items() if value}


def read(text: str) -> dict[str, str]:
    """Return the values in a file of variables, of those that `init` knows, without evaluating Terraform's language."""
    lines = (line.partition("#")[0] for line in text.splitlines())
    return {found[1]: found[2] for line in lines for found in _VALUE.finditer(line)}


def read_file(file: Path) -> dict[str, str]:
    """Return the values in a file of variables, as `read` does; none if there is no file."""
    return read(file.read_text()) if file.is_file() else {}


def differences(text: str, values: Values) -> list[str]:
    """Return a line for each variable that the file sets otherwise than `init` would."""
    there, wanted = read(text), values.settings()
    return [
        f"{name}: the file has {_shown(there.get(name))}, and `init` would write {_shown(wanted.get(name))}"
        for name in _NAMES
        if there.get(name) != wanted.get(name) and not _is_same_region(name, there, values)
    ]


def render(example: str, values: Values, *, origin: str, emails: Iterable[str] = (), owner: str = "") -> str:
    """Return an example with the values in place of its own; ``origin`` is the text of the first comment."""
    body = example.partition("\n\n")[2]
    text = "".join(f"# {line}\n" for line in origin.splitlines()) + "\n" + body
    text = _replaced(text, re.compile(r'^environment = ".*?"', re.M), f'environment = "{values.environment}"')
    text = _replaced(text, re.compile(r'^(region +)= ".*?"', re.M), f'region      = "{values.region}"')
    text = _replaced(text, _AUTH0, _auth0(values))
    addresses = ", ".join(f'"{email}"' for email in emails)
    text = re.sub(rf'emails( +)= \["{PLACEHOLDER}@example.com"\]', lambda one: f"emails{one[1]}= [{addresses}]", text)
    return text.replace(f'Owner = "{PLACEHOLDER}"', f'Owner = "{owner}"')


def create(file: Path, text: str) -> None:
    """Write a new file of variables; never replace one."""
    with file.open("x", encoding="utf-8") as opened:
        opened.write(text)


def choose_environment(name: str, directory: Path, wanted: str = "") -> str:
    """Return the variable `environment` for a file: the wanted one, or else the file's name without other characters.

    Raises DeployError if it is not valid, or if another file in ``directory`` has it.
    """
    chosen = wanted or re.sub("[^a-z0-9]|^[0-9]+", "", name.lower())[:10]
    if not ENVIRONMENT.fullmatch(chosen):
        raise DeployError(
            f"environment {chosen!r} must be 1 to 10 lower-case letters and digits, and start with a letter: it is a "
            "part of every name. Choose one with --environment."
        )
    for file in sorted(directory.glob("*.tfvars")):
        text = file.read_text()
        if file.stem != name and not placeholders(text) and read(text).get("environment") == chosen:
            raise DeployError(
                f"{file.name} has the environment {chosen!r} already, so that both would own the same resources. "
                "Choose another with --environment."
            )
    return chosen


def check_email(address: str) -> str:
    """Return an address that can stand in the file. Raises DeployError for another."""
    if not _EMAIL.fullmatch(address) or "${" in address or "%{" in address:
        raise DeployError(f"{address!r} is not an e-mail address.")
    return address


def check_region(region: str) -> str:
    """Return a region that can stand in the file. Raises DeployError for another."""
    if not REGION.fullmatch(region):
        raise DeployError(f"{region!r} is not a region of AWS, such as eu-central-1.")
    return region


def _auth0(values: Values) -> str:
    lines = [
        "# The event sources of Auth0's streams, by which EventBridge knows them. `init` has them from Auth0 itself.",
        "auth0 = {",
        "  # Every tenant log: for the archive, and for changes of users. A filter or masking in Auth0 makes gaps.",
        f'  log_stream_source_name = "{values.log_stream_source_name}"',
        "",
    ]
    if values.event_stream_source_name:
        lines += [
            "  # Every change of a user, whoever made it: user.created, user.updated and user.deleted.",
            f'  event_stream_source_name = "{values.event_stream_source_name}"',
        ]
    else:
        lines += [
            "  # The tenant has no Event Stream. Without one, `refresh` fetches what logs only name (docs/deploy.md)."
        ]
    if values.source_region != values.region:
        lines += [
            "",
            "  # The region to which Auth0 delivers; events are forwarded from there to `region`.",
            f'  source_region = "{values.source_region}"',
        ]
    return "\n".join([*lines, "}", ""])


def _is_same_region(name: str, there: Mapping[str, str], values: Values) -> bool:
    return name == "source_region" and there.get(name) == values.region == values.source_region


def _replaced(text: str, pattern: re.Pattern[str], new: str) -> str:
    found, count = pattern.subn(lambda _: new, text, count=1)
    if not count:
        raise DeployError(f"The example of variables has no {pattern.pattern!r}; take it as it is in the repository.")
    return found


def _shown(value: str | None) -> str:
    return "none" if value is None else repr(value)
