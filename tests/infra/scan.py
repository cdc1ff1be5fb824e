"""Checkov over infra/terraform, as `make check` runs it: ``python -m tests.infra.scan .venv-checkov/bin/checkov``.

Beyond Checkov's own verdict, an exemption has to say why, and has to be needed: Checkov by itself would skip a check
that passes as well. So it sees a copy without the exemptions, and what fails there is compared with them. ``--table``
in place of Checkov prints the exemptions as docs/security.md has them.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra/terraform"
OPTIONS = ("--framework", "terraform", "--download-external-modules", "false", "--skip-download", "--output", "json")

# What Checkov takes for an exception, under any of the names that it knows.
_SKIP = re.compile(r"(?:checkov|bridgecrew|cortex):skip=\s*(?P<checks>[\w,-]*)(?::(?P<reason>.*))?")
_CHECK = re.compile(r"CKV2?_[A-Z]+_\d+")
_RESOURCE = re.compile(r'^(?:resource|data|module) (?P<names>"[^"]+"(?: "[^"]+")?) \{')
SHORTEST_REASON = 4
"""Words; fewer cannot say why."""


class Exemption(NamedTuple):
    """A comment in a resource that tells Checkov to skip a check of it."""

    check: str
    resource: str
    reason: str
    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.check} on {self.resource}"


def exemptions(infra: Path = INFRA) -> Iterator[Exemption]:
    """Yield every exemption in the configuration, in the order of its files, which are named from ``infra``."""
    for file in sorted(infra.rglob("*.tf")):
        resource = ""
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            if beginning := _RESOURCE.match(line):
                resource = beginning["names"].replace('" "', ".").strip('"')
            if skip := _SKIP.search(line):
                reason = (skip["reason"] or "").strip()
                for check in skip["checks"].split(","):
                    yield Exemption(check, resource, reason, file.relative_to(infra), number)


def unexplained(found: Iterable[Exemption]) -> list[str]:
    """Return the problems of exemptions: an unknown check, a reason that is missing or short."""
    problems = []
    for exemption in found:
        if not _CHECK.fullmatch(exemption.check):
            problems.append(f"{exemption}: no check has this id.")
        if len(exemption.reason.split()) < SHORTEST_REASON:
            problems.append(f"{exemption}: say why, behind a colon: checkov:skip={exemption.check}:reason")
    return problems


def table(found: Iterable[Exemption]) -> list[str]:
    """Return the exemptions as rows of Markdown; the same one in several places is one row."""
    places: dict[tuple[str, str], list[str]] = {}
    for exemption in found:
        folder = exemption.file.parent.name
        place = f"{folder}: `{exemption.resource}`" if folder else f"`{exemption.resource}`"
        places.setdefault((exemption.check, exemption.reason), []).append(place)
    rows = (f"| {check} | {', '.join(at)} | {reason} |" for (check, reason), at in sorted(places.items()))
    return ["| check | where | why it does not apply |", "|---|---|---|", *rows]


def disagreements(report: Mapping[str, Any], found: Iterable[Exemption]) -> list[str]:
    """Return the differences between the exemptions and the failures in the copy without them."""
    results = report["results"]
    lines = [f"{file}: Checkov cannot read it." for file in results.get("parsing_errors", [])]
    if not report["summary"]["passed"]:
        lines.append("Checkov has checked nothing.")
    exempt = set()
    for failure in results["failed_checks"]:
        file, (first, last) = Path(failure["file_path"].lstrip("/")), failure["file_line_range"]
        matching = [
            exemption
            for exemption in found
            if (exemption.check, exemption.file) == (failure["check_id"], file) and first <= exemption.line <= last
        ]
        if not matching:
            lines.append(f"{file}:{first}: {failure['check_id']} on {failure['resource']}: {failure['check_name']}")
        exempt.update(matching)
    unmet = [exemption for exemption in found if exemption not in exempt]
    return lines + [f"{exemption}: the check passes; take the exemption away." for exemption in unmet]


def run(checkov: str, infra: Path = INFRA) -> dict[str, Any]:
    """Checkov's report on ``infra`` without its exemptions.

    Checkov sees none of the caller's settings: a configuration file in their home could take checks away.
    """
    with tempfile.TemporaryDirectory() as home:
        copy = Path(home) / "terraform"
        # The examples have no resources of their own, and Checkov would check the module's once more for each.
        shutil.copytree(infra, copy, ignore=shutil.ignore_patterns(".*", "examples"))
        for file in copy.rglob("*.tf"):
            file.write_text(_SKIP.sub("exempt", file.read_text()))
        environment = {"PATH": os.environ["PATH"], "HOME": home, "LOG_LEVEL": "ERROR"}
        done = subprocess.run(
            [Path(checkov).resolve(), "--directory", copy, *OPTIONS],
            cwd=home, env=environment, text=True, capture_output=True, check=False,
        )  # fmt: skip
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise SystemExit(f"Checkov failed:\n{done.stderr.strip() or done.stdout.strip()}") from None
    return report


def main(checkov: str) -> int:
    """Print what is wrong; the exit code says whether anything is."""
    found = list(exemptions())
    report = run(checkov)
    wrong = unexplained(found) + disagreements(report, found)
    for line in wrong:
        _print(f"infra/terraform/{line}")
    _print(f"Checkov: {report['summary']['passed']} checks passed, {len(found)} exemptions, {len(wrong)} problems")
    return int(bool(wrong))


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a program's output


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        _print("\n".join(table(exemptions())))
    else:
        raise SystemExit(main(*sys.argv[1:]))
