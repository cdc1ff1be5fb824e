"""The functions: whether Lambda can run them, and has taken their last update."""

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
    # A function that was not called for weeks is Inactive, and becomes Active when it is called.
    if state in ("Active", "Inactive") and updated == "Successful":
        return ok(title)
    reason = found.get("StateReason") or found.get("LastUpdateStatusReason") or ""
    return bad(title, f"{state}, {updated}: {reason}", "Put right what the reason names, and deploy again")
