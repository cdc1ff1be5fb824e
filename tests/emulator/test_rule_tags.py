import pytest
from botocore.exceptions import ClientError

from .support import ACCOUNT, Aws, name

pytestmark = pytest.mark.emulator


def test_a_rule_of_a_partner_bus_has_tags(aws: Aws) -> None:
    source = f"aws.partner/auth0.com/{name('tenant')}/auth0.logs"
    aws.events.create_partner_event_source(Name=source, Account=ACCOUNT)
    aws.events.create_event_bus(Name=source, EventSourceName=source)
    tags = [{"Key": "team", "Value": "identity"}]
    pattern = '{"source": [{"prefix": "aws.partner/"}]}'
    arn = aws.events.put_rule(Name="everything", EventBusName=source, EventPattern=pattern, Tags=tags)["RuleArn"]
    assert arn.endswith(f":rule/{source}/everything")
    assert aws.events.list_tags_for_resource(ResourceARN=arn)["Tags"] == tags
    aws.events.tag_resource(ResourceARN=arn, Tags=[{"Key": "team", "Value": "platform"}])
    assert aws.events.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "team", "Value": "platform"}]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        aws.events.list_tags_for_resource(ResourceARN=f"{arn}-of-another")
