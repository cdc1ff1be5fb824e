"""Run and show the checks of a deployment."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from pipeline import doctor
from pipeline.cli.app import print_json
from pipeline.cli.progress import Steps
from pipeline.cli.terminal import console, errors, in_markup, lines_in_markup

_MARKS: Final = {"ok": "[green]✔[/]", "bad": "[red]✘[/]", "unknown": "[yellow]–[/]"}  # noqa: RUF001 - a dash


def run(env: str, outputs: Mapping[str, Any], seconds: float, *, as_json: bool = False) -> bool:
    """Run every check, show the findings, and return whether nothing is wrong."""
    if not as_json:
        console.print("\n[bold]Smoke test[/]")
    with Steps(errors if as_json else console) as steps:
        findings = doctor.run(doctor.CHECKS, doctor.Deployed.of(env, outputs, seconds), steps)
    good = all(finding.verdict != "bad" for finding in findings)
    if as_json:
        print_json({"ok": good, "checks": [asdict(finding) for finding in findings], "not_seen": doctor.NOT_SEEN})
        return good
    console.print()
    for finding in findings:
        said = ". ".join(filter(None, (finding.detail, finding.advice)))
        detail = f"  [dim]{lines_in_markup(said)}[/]" if said else ""
        console.print(f"{_MARKS[finding.verdict]} {in_markup(finding.title)}{detail}", highlight=False, soft_wrap=True)
    console.print(f"{_MARKS['unknown']} {doctor.NOT_SEEN}", highlight=False)
    return good
