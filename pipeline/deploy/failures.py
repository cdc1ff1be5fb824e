"""Explain a failed plan or apply, and give the remedy for known cases."""

import re
from collections.abc import Mapping
from typing import Any, Final

from pipeline.deploy.planning import MODULE
from pipeline.invocation import function_error
from pipeline.terraform import Message, TerraformError, describe, program_name

_INVOCATION: Final = re.compile(re.escape(MODULE) + r"aws_lambda_invocation\.(?P<name>\w+)")
# The provider's wording, in newer and older versions.
_ANSWER: Final = re.compile(
    r"Lambda [Ff]unction \((?P<function>[^)]*)\)(?:: | returned error: \()(?P<payload>\{.*\})", re.DOTALL
)
_LOCK: Final = re.compile(r"(?m)^\s*(?P<name>ID|Who|Created):\s*(?P<value>.*?)\s*$")

_INVOKED: Final = {
    "migrate": "The migration of the database failed",
    "roles": "The database roles could not be made",
}

_ADVICE: Final = (
    (
        r"AccessDenied|UnauthorizedOperation|is not authorized to perform",
        "Your AWS identity lacks that right; docs/deploy.md lists what a deployer needs.",
    ),
    (
        r"ExpiredToken|token included in the request is expired|RequestExpired",
        "Your AWS session has ended. Sign in again and run the same command: it continues where it stopped.",
    ),
    (
        r"EventBus.*already exists|Event bus .* already exists",
        "auth0.create_buses = false uses the existing bus.",
    ),
    (
        r"AlreadyExists|ResourceInUseException|already exists|BucketAlreadyOwnedByYou",
        "It is not in this deployment's state: another deployment or an interrupted apply created it. Delete it.",
    ),
    (
        r"InvalidParameterValueException.*UnreservedConcurrentExecution|below its minimum value",
        "The account has too little Lambda concurrency to reserve any; sync.reserved_concurrency = null needs none.",
    ),
    (
        r"scheduled for deletion|InvalidRequestException.*secret",
        "A destroyed deployment had the same name, and AWS still keeps this of it: restore it, or use another name.",
    ),
)  # fmt: skip


def explain(name: str, error: TerraformError, before: Mapping[str, Any]) -> str:
    """Write an error of Terraform for the person who deploys.

    `before` are the outputs from before the apply: none at a first deployment.
    """
    if locked := _locked(name, str(error)):
        return locked
    for problem in error.problems:
        if invoked := _INVOCATION.match(problem.get("address", "")):
            return _failed_invocation(name, invoked["name"], problem, before)
    advice = dict.fromkeys(filter(None, (_advice(describe([problem])) for problem in error.problems)))
    return "\n".join([str(error), *advice])


def _advice(problem: str) -> str | None:
    return next((said for pattern, said in _ADVICE if re.search(pattern, problem, re.DOTALL)), None)


def _failed_invocation(name: str, what: str, problem: Message, before: Mapping[str, Any]) -> str:
    said = f"{problem['summary']}\n{problem.get('detail', '')}"
    answer = _ANSWER.search(said)
    reason = function_error(answer["payload"]) if answer else said.strip()
    lines = [f"{_INVOKED.get(what, f'The function {what} failed')}:", *(f"  {line}" for line in reason.splitlines())]
    if before.get("function_names"):
        lines.append("Nothing of the sync was replaced: the version that was deployed before is running.")
    else:
        lines.append("The sync has not been started. Events that arrive meanwhile wait in the queues, for 14 days.")
    if answer:
        lines.append(f"Look:  auth0-sync logs {what} --env {name}")
    lines.append(f"Then:  make deploy ENV={name}  (it continues from here)")
    return "\n".join(lines)


def _locked(name: str, text: str) -> str | None:
    """Explain an error about a locked state; None for another error, such as an unreachable state."""
    lock = {found["name"]: found["value"] for found in _LOCK.finditer(text)}
    if "acquiring the state lock" not in text or "ID" not in lock:
        return None
    return (
        f"Somebody else is at work on {name}: {lock.get('Who', 'unknown')}, since {lock.get('Created', 'now')}.\n"
        "Wait until that is done, then try again. If you know that it died:\n"
        f"  {program_name()} -chdir=.deploy/{name} force-unlock {lock['ID']}"
    )
