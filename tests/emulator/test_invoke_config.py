import pytest

from .support import Aws

pytestmark = pytest.mark.emulator


def test_only_what_was_set_is_described(aws: Aws) -> None:
    function = aws.function()["FunctionName"]
    made = aws.lambda_.put_function_event_invoke_config(FunctionName=function, MaximumRetryAttempts=0)
    described = aws.lambda_.get_function_event_invoke_config(FunctionName=function)
    for answer in (made, described):
        assert answer["MaximumRetryAttempts"] == 0
        assert "MaximumEventAgeInSeconds" not in answer
    aws.lambda_.put_function_event_invoke_config(FunctionName=function, MaximumEventAgeInSeconds=60)
    described = aws.lambda_.get_function_event_invoke_config(FunctionName=function)
    assert described["MaximumEventAgeInSeconds"] == 60
    assert "MaximumRetryAttempts" not in described
