"""Check that Lambda can run the functions, and has applied their last update."""

from functools import partial
from typing import Any

from pipeline.doctor.deployed import Deployed
from pipeline.doctor.findings import Finding, bad, existing, ok


def check(deployed: Deployed) -> list[Finding]:
    """Check the state of each function."""
    client = deployed.client("lambda")
    return [
        existing(title, partial(_function, client, title, function))
        for name, function in deployed.outputs["function_names"].items()
        for title in [f"Function {name}"]
    ]


def _function(client: Any, title: str, function: str) -> Finding:
    found = client.get_function_configuration(FunctionName=function)
    state, updated = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
    # A function without calls for weeks is Inactive; a call makes it Active.
    if state in ("Active", "Inactive") and updated == "Successful":
        return ok(title)
    reason = found.get("StateReason") or found.get("LastUpdateStatusReason") or ""
    return bad(title, f"{state}, {updated}: {reason}", "Put right what the reason names, and deploy again")
