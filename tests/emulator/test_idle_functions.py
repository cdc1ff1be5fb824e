import json

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from devstack.emulator.patches.idle_functions import TAG

from .support import Aws, wait_for

pytestmark = pytest.mark.emulator


def test_the_first_invocation_fails_and_wakes(aws: Aws) -> None:
    made = aws.function(Tags={"team": "identity"})
    function, arn = made["FunctionName"], made["FunctionArn"]
    # Without retries, which the SDK makes of answers such as the first.
    once = aws.client("lambda", Config(retries={"total_max_attempts": 1}))

    def state() -> str:
        return str(once.get_function(FunctionName=function)["Configuration"]["State"])

    wait_for(lambda: state() == "Active")
    once.tag_resource(Resource=arn, Tags={TAG: "0.5"})
    assert state() == "Inactive"
    assert once.list_tags(Resource=arn)["Tags"] == {"team": "identity"}
    with pytest.raises(ClientError, match="ResourceNotReadyException"):
        once.invoke(FunctionName=function)
    assert state() == "Pending"
    with pytest.raises(ClientError, match=r"ResourceConflictException.*Pending"):
        once.invoke(FunctionName=function)
    wait_for(lambda: state() == "Active")
    assert json.loads(once.invoke(FunctionName=function)["Payload"].read()) == 1
