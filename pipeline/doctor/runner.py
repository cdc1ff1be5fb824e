"""Run checks in order, and show their progress."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from pipeline.doctor.deployed import Deployed
from pipeline.doctor.findings import Finding, guarded, unknown
from pipeline.progress import Progress


def always(_deployed: Deployed) -> bool:
    """Return True: the check suits every deployment."""
    return True


@dataclass(frozen=True)
class Check:
    """A function that checks one subject, with the conditions for running it."""

    name: str
    """Name of the check in `needs` and in commands."""
    title: str
    """Title of the check in the progress, and in the finding of an error that it raises."""
    find: Callable[[Deployed], list[Finding]]
    needs: tuple[str, ...] = ()
    """Names of checks. Skip this check if one of them ran before and did not find everything `ok`."""
    suits: Callable[[Deployed], bool] = always
    """Returns whether the deployment has the subject of the check."""
    doing: str = ""
    """Text for the progress of a slow check."""


def run(checks: Sequence[Check], deployed: Deployed, progress: Progress) -> list[Finding]:
    """Run checks and return their findings in order. A check that fails does not stop the others."""
    found: dict[str, list[Finding]] = {}
    for check in checks:
        if not check.suits(deployed):
            continue
        with progress.step(check.title) as step:
            step.update(check.doing)
            unmet = [need for need in check.needs if any(one.verdict != "ok" for one in found.get(need, ()))]
            if unmet:
                found[check.name] = [unknown(check.title, f"not checked: it needs {', '.join(unmet)}")]
            else:
                found[check.name] = guarded(check.title, partial(check.find, deployed))
            wrong = sum(one.verdict == "bad" for one in found[check.name])
            if wrong:
                step.fail(f"{wrong} not as it should be")
            else:
                step.update("")
    return [finding for findings in found.values() for finding in findings]
