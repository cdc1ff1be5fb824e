"""A function's settings for asynchronous invocation, described as they were made.

AWS (Lambda API Reference: PutFunctionEventInvokeConfig): what the request leaves out, the answer and
GetFunctionEventInvokeConfig leave out too.

MiniStack: describes the defaults, which Terraform reads as drift.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

from typing import Any

from ministack.core import responses
from ministack.services import lambda_svc

from devstack.emulator import patching

_original: dict[str, Any] = {}


def apply() -> None:
    """Replace PutFunctionEventInvokeConfig."""
    patching.require(lambda_svc, "_functions")
    name = "_put_event_invoke_config"
    _original[name] = patching.replace(lambda_svc, name, put_event_invoke_config)


def put_event_invoke_config(func_name: str, qualifier: str | None, data: dict[str, Any]) -> Any:
    """PutFunctionEventInvokeConfig."""
    answer = _original["_put_event_invoke_config"](func_name, qualifier, data)
    if answer[0] != 200:
        return answer
    config = lambda_svc._functions[func_name]["event_invoke_configs"][qualifier or ""]
    for name in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds"):
        if name not in data:
            del config[name]
    return responses.json_response(config)
