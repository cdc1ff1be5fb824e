import json

import pytest
from botocore.exceptions import ClientError

from .support import ACCOUNT, REGION, ROOT, Aws, name, policy

pytestmark = pytest.mark.emulator


def test_policy_of_a_bus_is_set_as_a_whole(aws: Aws) -> None:
    bus = name("bus")
    aws.events.create_event_bus(Name=bus)
    aws.events.put_permission(EventBusName=bus, StatementId="old", Action="events:PutEvents", Principal=ACCOUNT)
    statement = {
        "Sid": "relay",
        "Effect": "Allow",
        "Principal": {"AWS": ROOT},
        "Action": "events:PutEvents",
        "Resource": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{bus}",
    }
    document = policy(statement)
    aws.events.put_permission(EventBusName=bus, Policy=document)
    assert json.loads(aws.events.describe_event_bus(Name=bus)["Policy"]) == json.loads(document)
    with pytest.raises(ClientError, match="ValidationException"):
        aws.events.put_permission(EventBusName=bus, Policy="{")
