"""Run the command blocks of the docs in bash, as an operator does."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline import packaging
from tests.deploy import preloaded
from tests.emulator.support import ACCOUNT

AWS_CLI = packaging.ROOT / ".venv-awscli" / "bin"
AWS = """\
import sys
import awscli.handlers
from awscli import clidriver

def main():
    sys.argv[1:1] = ["--endpoint-url", {endpoint!r}]
    return clidriver.main()
"""
"""The AWS CLI: version 1 does not look into its configuration for the endpoint of every service."""

COMMAND = """\
from importlib import import_module
from pathlib import Path
import pydantic
from pipeline.cli import commands, main
from pipeline.deploy.deployment import Deployment
for module in {{command.module for command in commands.COMMANDS.values()}}:
    import_module(module)
find = Deployment.find.__func__
Deployment.find = classmethod(lambda cls, name, **options: find(cls, name, Path({root!r}), **options))
"""
"""The command of the clone, on deployments of the test's own repository; Typer imports pydantic when it runs."""


@dataclass(frozen=True)
class Block:
    """A block of commands in a document."""

    document: str
    line: int
    text: str

    @property
    def first(self) -> str:
        """The first line, by which a table names the block."""
        return self.text.splitlines()[0]

    def __str__(self) -> str:
        return f"docs/{self.document}:{self.line}"


def blocks(document: str) -> list[Block]:
    """Return the blocks of shell, and the commands of the blocks that show a terminal."""
    text = (packaging.ROOT / "docs" / document).read_text()
    found = []
    for match in re.finditer(r"^( *)```(sh|console)\n(.*?)^ *```$", text, flags=re.M | re.S):
        indent, kind, body = match.groups()
        lines = [line.removeprefix(indent) for line in body.splitlines()]
        if kind == "console":
            lines = list(_typed(lines))
        found.append(Block(document, text.count("\n", 0, match.start()) + 1, "\n".join(lines)))
    return found


def _typed(lines: list[str]) -> list[str]:
    typed, goes_on = [], False
    for line in lines:
        if goes_on or line.startswith("$ "):
            typed.append(line if goes_on else line.removeprefix("$ "))
            goes_on = line.endswith("\\")
    return typed


class Operator:
    """A shell in a repository, signed in to an emulator by the files of the AWS CLI."""

    def __init__(self, root: Path, home: Path, endpoint: str) -> None:
        self._root, self._home, self._endpoint = root, home, endpoint
        assert (AWS_CLI / "aws").exists(), "the AWS CLI is missing; run: make .venv-awscli/.ready"
        _without_waiting(home)
        config = home / ".aws" / "config"
        config.write_text(
            f"[default]\nendpoint_url = {endpoint}\naws_access_key_id = {ACCOUNT}\naws_secret_access_key = secret\n"
        )

    def run(self, blocks: list[Block], fill: dict[str, str]) -> dict[Block, str]:
        """Run blocks in one shell, one after the other; return what each printed. The first that fails is an error.

        `fill` gives a value to each placeholder, and each must be in a block.
        """
        unused = [placeholder for placeholder in fill if not any(placeholder in block.text for block in blocks)]
        assert not unused, f"no block has {unused}"
        script = ["set -eEuo pipefail", "shopt -s inherit_errexit"]
        for number, block in enumerate(blocks):
            text = block.text
            for placeholder, value in fill.items():
                text = text.replace(placeholder, value)
            script += [f"printf '\\036%s\\036' {number}", text]
        environment = {
            "HOME": str(self._home),
            "PATH": f"{self._home}/bin:{os.defpath}:/usr/local/bin",
            "LC_ALL": "C.UTF-8",
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": str(packaging.ROOT),
        }
        ours, aws = self._root / ".venv" / "bin" / "auth0-sync", self._home / "bin" / "aws"
        with (
            preloaded.installed(ours, Path(sys.executable), COMMAND.format(root=str(self._root)), environment),
            preloaded.installed(aws, AWS_CLI / "python", AWS.format(endpoint=self._endpoint), environment),
        ):
            done = subprocess.run(
                ["bash", "-c", "\n".join(script)],
                cwd=self._root,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
        parts = done.stdout.split("\036")[1:]
        printed = {blocks[int(number)]: text for number, text in zip(parts[::2], parts[1::2], strict=True)}
        assert done.returncode == 0, f"{list(printed)[-1]}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return printed


def _without_waiting(home: Path) -> None:
    """Have `aws … wait` look every second: the emulator is quick, and AWS's models say 30 seconds."""
    for service in ("rds", "dynamodb"):
        for waiters in AWS_CLI.parent.glob(
            f"lib/python3.*/site-packages/awscli/botocore/data/{service}/*/waiters-2.json"
        ):
            models = home / ".aws" / "models" / service / waiters.parent.name
            models.mkdir(parents=True)
            (models / waiters.name).write_text(re.sub(r'"delay":\s*\d+', '"delay": 1', waiters.read_text()))
