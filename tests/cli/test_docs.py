"""The commands and names in the docs exist, and the docs have all of them."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore import xform_name
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.cli.app import load
from pipeline.cli.commands import COMMANDS as KNOWN
from pipeline.log_types import NAMELESS, SIGNALS

ROOT = Path(__file__).parents[2]
DOCS = [*sorted(ROOT.glob("*.md")), ROOT / "devstack" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = {name: load(name) for name in KNOWN}


MAKEFILE = (ROOT / "Makefile").read_text()

AUTH0 = {
    "auth0 logs streams create eventbridge": {"--aws-id", "--aws-region", "--filters", "--name", "--pii-config"},
    "auth0 event-streams create": {"--configuration", "--name", "--subscriptions", "--type"},
}
"""Options of Auth0's command line, from its release 1.33.0 of August 2026: in the repository auth0/auth0-cli, the files
docs/auth0_logs_streams_create_eventbridge.md and docs/auth0_event-streams_create.md."""

CUSTOM = {
    "logs tail": {"--since", "--follow"},
    "rds generate-db-auth-token": {"--hostname", "--port", "--username"},
}
"""Commands of the AWS CLI that are no operation of a service, with their options."""

GLOBAL = {"--endpoint-url", "--region", "--profile", "--query", "--output", "--cli-input-json", "--no-paginate"}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.M)) - {"require-env"}


def commands(text: str, program: str) -> Iterator[list[str]]:
    """Yield the words of each command of a program: what is in `code`, and what follows a prompt."""
    lines = re.findall(r"^\$ (.*(?:(?<=\\)\n.*)*)", text, flags=re.M)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    for code in [*lines, *spans]:
        for part in [code, *re.findall(r"\$\((.*?)\)", code)]:
            yield from _commands(part.replace("\\\n", " "), program)


def _commands(code: str, program: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(code, posix=True, punctuation_chars="|;&<>")
    lexer.whitespace_split = True
    words: list[str] = []
    try:
        for word in [*lexer, ";"]:
            if re.fullmatch("[|;&<>]+", word):
                if len(words) > 1 and Path(words[0]).name == program:
                    yield words[1:]
                words = []
            elif words or "=" not in word:  # assignments in front of the command
                words.append(word)
    except ValueError:
        assert not code.startswith((program, f".venv/bin/{program}")), f"cannot be read: {code}"


SET_BY_ENV = ("DEPLOYMENT", "ARCHIVE_BUCKET", "ARCHIVE_PREFIX", "ARCHIVE_ERROR_PREFIX", "MANIFEST_KEY_ARN")
"""Variables of `auth0-sync env`, with which the pages begin."""


def options_of_aws(service: str, operation: str) -> set[str]:
    """Return the options of a command of the AWS CLI, which come from the same service models as boto3's."""
    if custom := CUSTOM.get(f"{service} {operation}"):
        return custom
    model = boto3.session.Session()._session.get_service_model(service)
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    shape = model.operation_model(operations[operation]).input_shape
    members = shape.members if shape else {}
    names = {f"--{xform_name(name, '-')}": member for name, member in members.items()}
    return {*names, *(f"--no-{name[2:]}" for name, member in names.items() if member.type_name == "boolean")}


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.relative_to(ROOT).as_posix())
class TestDocsNameWhatExists:
    def test_files(self, path: Path) -> None:
        text = path.read_text()
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (path.parent / link).exists(), link

    def test_parts_of_files(self, path: Path) -> None:
        for file, part in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", path.read_text()):
            other = (path.parent / file if file else path).read_text()
            headings = re.findall(r"^#+ (.*)", other, flags=re.M)
            assert part in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, part

    def test_targets_and_their_variables(self, path: Path) -> None:
        for words in commands(path.read_text(), "make"):
            for word in words:
                name, given, _ = word.partition("=")
                known = re.search(rf"\$\({name}\)|^{name} \?=", MAKEFILE, flags=re.M) if given else name in targets()
                assert known, f"make {shlex.join(words)}"

    def test_commands_and_their_options(self, path: Path) -> None:
        for name, *words in commands(path.read_text(), "auth0-sync"):
            options = {
                option for parameter in COMMANDS[name].params for option in parameter.opts + parameter.secondary_opts
            }
            assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options | {"--help"}

    def test_lines_to_type_have_all_that_they_need(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for variable in SET_BY_ENV:
            monkeypatch.setenv(variable, "set")
        console = "\n".join(re.findall(r"^\$ .*(?:(?<=\\)\n.*)*", path.read_text(), flags=re.M))
        for name, *words in commands(console, "auth0-sync"):
            COMMANDS[name].make_context(name, list(words)).close()

    def test_operations_of_aws_and_their_options(self, path: Path) -> None:
        for service, operation, *words in commands(path.read_text(), "aws"):
            given = {word for word in words if word.startswith("--")}
            assert given <= options_of_aws(service, operation) | GLOBAL, f"aws {service} {operation}"

    def test_commands_of_auth0_and_their_options(self, path: Path) -> None:
        for words in commands(path.read_text(), "auth0"):
            given = [word for word in words if word.startswith("-")]
            command = shlex.join(["auth0", *words[: words.index(given[0]) if given else None]])
            assert set(given) <= AUTH0[command]


def test_the_stream_of_events_has_what_auth0_asks_for() -> None:
    [created] = [
        words for words in commands((ROOT / "docs/deploy.md").read_text(), "auth0") if "--configuration" in words
    ]
    assert json.loads(created[-1]).keys() == {"aws_account_id", "aws_region"}


def test_regions_without_a_certificate_are_named() -> None:
    """The regions that boto3 knows, and the bundle does not."""
    bundle = (ROOT / "pipeline/sinks/rds-ca-bundle.pem").read_text()
    without = {
        region for region in boto3.session.Session().get_available_regions("rds") if f"RDS {region} " not in bundle
    }
    regions = (ROOT / "docs/deploy.md").read_text().partition("## Regions")[2].partition("## ")[0]
    assert without
    assert set(re.findall(r"`([a-z]+-[a-z]+-\d)`", regions)) == without


def test_every_target_is_explained() -> None:
    printed = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    missing = {target for target in targets() if not re.search(rf"make {target} +\w", printed)}
    assert missing == set()
    assert {"help", "setup", "demo", "up", "down", "test", "check", "bench", "package"} <= targets()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert len(COMMANDS[name].help.split()) > 4


def test_every_signal_is_in_the_table_of_events() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \| .*\|$", (ROOT / "docs" / "events.md").read_text(), flags=re.M))
    assert rows.items() >= (SIGNALS | NAMELESS).items()
