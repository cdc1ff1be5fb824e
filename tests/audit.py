"""Known vulnerabilities in the pinned packages, by pip-audit, for `make check`.

It is skipped where the database of vulnerabilities does not answer. `requirements/audit-exempt.toml` lists findings
that do not apply here.

    python -m tests.audit .venv-audit/bin/pip-audit
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

REQUIREMENTS: Final = Path(__file__).parents[1] / "requirements"
EXEMPT: Final = "audit-exempt.toml"
AGE: Final = timedelta(days=365)
"""Age at which somebody must judge an exemption again."""

ANSWER_SECONDS: Final = 10
FIRST_SECONDS: Final = 30
ALL_SECONDS: Final = 600


class Unreachable(Exception):
    """The database of vulnerabilities does not answer; the message holds pip-audit's reason."""


@dataclass(frozen=True, slots=True)
class Exemption:
    """A finding that does not apply: its id, the package, why, and the day of that judgement."""

    id: str
    package: str
    reason: str
    date: date


def files(directory: Path) -> list[Path]:
    """Return the files of pinned requirements, the smallest first: it shows whether the database answers."""
    return sorted(directory.glob("*.txt"), key=lambda file: file.stat().st_size)


def exemptions(directory: Path) -> list[Exemption]:
    """Return the exemptions. Raises TypeError for one without a field of its own."""
    return [Exemption(**entry) for entry in tomllib.loads((directory / EXEMPT).read_text()).get("exempt", [])]


def audit(program: str, pinned: Sequence[Path], seconds: float) -> dict[str, Mapping[str, Any]]:
    """Return pip-audit's answers by `name==version`. Raises Unreachable if there is none for any package."""
    asked = [f"--requirement={file}" for file in pinned]
    options = ["--disable-pip", "--format=json", "--progress-spinner=off", f"--timeout={ANSWER_SECONDS}"]
    try:
        done = subprocess.run(
            [program, *asked, *options],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unreachable(f"no answer in {seconds:g} seconds") from None
    try:
        found = json.loads(done.stdout)["dependencies"]
    except ValueError:
        said = done.stderr.strip()
        if "vulnerability feed" in said or "Connection" in said:
            raise Unreachable(said.splitlines()[-1]) from None
        raise SystemExit(f"pip-audit failed:\n{said}") from None
    answers = {f"{entry['name']}=={entry['version']}": entry for entry in found if "skip_reason" not in entry}
    if found and not answers:
        raise Unreachable(found[0]["skip_reason"])
    return answers


def problems(answers: Mapping[str, Mapping[str, Any]], exempt: Sequence[Exemption], today: date) -> Iterator[str]:
    """Yield each finding without an exemption, and each exemption without a finding or too old."""
    met = set()
    for pin, entry in sorted(answers.items()):
        for finding in entry["vulns"]:
            names = {finding["id"], *finding["aliases"]}
            matching = [one for one in exempt if one.id in names and one.package == entry["name"]]
            met.update(matching)
            if not matching:
                fixed = ", ".join(finding["fix_versions"]) or "none yet"
                yield f"{pin}: {finding['id']} ({', '.join(finding['aliases']) or 'no alias'}); fixed in {fixed}"
    for one in exempt:
        if one not in met:
            yield f"{EXEMPT}: {one.id} of {one.package} is not found any more; take the exemption away"
        elif today - one.date > AGE:
            yield f"{EXEMPT}: {one.id} of {one.package} was judged on {one.date}; judge it again"


def main(program: str, directory: Path = REQUIREMENTS, first_seconds: float = FIRST_SECONDS) -> int:
    """Print the problems, or why there was no audit; the exit code says whether there are any."""
    pinned = files(directory)
    exempt = exemptions(directory)
    try:
        audit(program, pinned[:1], first_seconds)
        answers = audit(program, pinned, ALL_SECONDS)
    except Unreachable as error:
        _print(f"Vulnerabilities: SKIPPED, their database does not answer here: {error}")
        return 0
    wrong = list(problems(answers, exempt, datetime.now(UTC).date()))
    for line in wrong:
        _print(f"requirements: {line}")
    _print(f"Vulnerabilities: {len(answers)} packages, {len(exempt)} exemptions, {len(wrong)} problems")
    return int(bool(wrong))


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a program's output


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
