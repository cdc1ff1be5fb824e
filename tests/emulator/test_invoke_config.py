import io
import zipfile

import pytest

from .support import Aws, name

pytestmark = pytest.mark.emulator


def test_only_what_was_set_is_described(aws: Aws) -> None:
    package, function = io.BytesIO(), name("function")
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("function.py", "def handler(event, context): return 1")
    aws.lambda_.create_function(
        FunctionName=function,
        Runtime="python3.13",
        Role=aws.role("lambda.amazonaws.com"),
        Handler="function.handler",
        Code={"ZipFile": package.getvalue()},
    )
    made = aws.lambda_.put_function_event_invoke_config(FunctionName=function, MaximumRetryAttempts=0)
    described = aws.lambda_.get_function_event_invoke_config(FunctionName=function)
    for answer in (made, described):
        assert answer["MaximumRetryAttempts"] == 0
        assert "MaximumEventAgeInSeconds" not in answer
    aws.lambda_.put_function_event_invoke_config(FunctionName=function, MaximumEventAgeInSeconds=60)
    described = aws.lambda_.get_function_event_invoke_config(FunctionName=function)
    assert described["MaximumEventAgeInSeconds"] == 60
    assert "MaximumRetryAttempts" not in described
