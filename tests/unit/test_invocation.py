"""Functions that are invoked as they are deployed, ready or not."""

import io
import time
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, WaiterError

from pipeline import invocation
from pipeline.errors import CommandError
from pipeline.invocation import LONGEST, call, client, idle, invoke, wake

INACTIVE = ("ResourceNotReadyException", "The function is inactive and its VPC connection is no longer available.")
PENDING = ("ResourceConflictException", "The function is currently in the following state: Pending")
DOWNLOADING = ("CodeArtifactUserPendingException", "The function is being restored.")


class Lambda:
    """A function that answers what it is told to, and then 1. `states` are told in order, the last one again."""

    exceptions = boto3.client("lambda", region_name="us-east-1").exceptions

    def __init__(self, *problems: tuple[str, str], states: tuple[str, ...] = ("Active",)) -> None:
        self.problems, self.states = list(problems), list(states)
        self.done: list[str] = []

    def invoke(self, FunctionName: str, Payload: str, LogType: str = "") -> dict[str, Any]:  # noqa: N803 - boto3's names
        self.done.append(f"invoke {FunctionName} {Payload}")
        if self.problems:
            code, message = self.problems.pop(0)
            raise ClientError({"Error": {"Code": code, "Message": message}}, "Invoke")
        return {"Payload": io.BytesIO(b"1"), "LogType": LogType}

    def get_function_configuration(self, FunctionName: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        if FunctionName == "gone":
            raise self.exceptions.ResourceNotFoundException({"Error": {"Code": "x"}}, "GetFunctionConfiguration")
        return {"State": self.states[0] if len(self.states) == 1 else self.states.pop(0)}

    def get_waiter(self, name: str) -> Any:
        lambda_ = self

        class Waiter:
            def wait(self, FunctionName: str, WaiterConfig: dict[str, int]) -> None:  # noqa: N803 - boto3's names
                assert WaiterConfig["Delay"] * WaiterConfig["MaxAttempts"] == invocation.WAKE_SECONDS
                lambda_.done.append(f"{name} {FunctionName}")

        return Waiter()


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)


def test_ready_function_is_invoked_once() -> None:
    function = Lambda()
    assert call(function, "f", {"a": 1}, failed="", logs="") == 1
    assert function.done == ['invoke f {"a": 1}']


@pytest.mark.parametrize("problems", [[INACTIVE], [PENDING], [DOWNLOADING], [INACTIVE, PENDING]])
def test_invocation_waits_for_a_function_that_is_not_ready(problems: list[tuple[str, str]]) -> None:
    function = Lambda(*problems)
    assert call(function, "f", {}, failed="", logs="") == 1
    assert function.done == [*["invoke f {}", "function_active_v2 f"] * len(problems), "invoke f {}"]


def test_wait_for_a_function_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invocation, "WAKE_SECONDS", -2)
    function = Lambda(*[INACTIVE] * 100)
    with pytest.raises(ClientError, match="ResourceNotReady"):
        invoke(function, "f", {})
    assert len(function.done) == 1


def test_other_error_is_raised_at_once() -> None:
    function = Lambda(("ResourceNotFoundException", "Function not found: f"))
    with pytest.raises(CommandError, match=r"The function f could not be invoked.*Function not found"):
        call(function, "f", {}, failed="", logs="")
    assert len(function.done) == 1


def test_function_that_stays_inactive_raises_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise WaiterError("FunctionActiveV2", "Max attempts exceeded", {})

    monkeypatch.setattr(invocation, "_wait", fail)
    with pytest.raises(CommandError, match="Max attempts exceeded"):
        call(Lambda(INACTIVE), "f", {}, failed="", logs="")


def test_idle_functions_are_found_and_activated() -> None:
    function = Lambda(INACTIVE, PENDING, states=("Inactive", "Active", "Inactive", "Pending"))
    found = idle(function, ["a", "b", "gone", "c", "d"])
    assert found == ["a", "c"]
    wake(function, found, {})
    assert function.done == ["invoke a {}", "invoke c {}", "function_active_v2 a", "function_active_v2 c"]


def test_other_error_while_activating_is_raised() -> None:
    with pytest.raises(ClientError, match="KMSAccessDenied"):
        wake(Lambda(("KMSAccessDeniedException", "no")), ["a"], {})


def test_client_outwaits_the_longest_run_and_does_not_retry() -> None:
    config = client("us-east-1").meta.config
    assert config.read_timeout > LONGEST
    assert config.retries["total_max_attempts"] == 1
