import pytest

from .support import Aws, name

pytestmark = pytest.mark.emulator


def test_flow_log_is_described_as_it_was_made(aws: Aws) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/24")["Vpc"]["VpcId"]
    group, role = name("/flow"), "arn:aws:iam::000000000000:role/flow"
    settings = {"ResourceIds": [vpc], "ResourceType": "VPC", "TrafficType": "REJECT", "DeliverLogsPermissionArn": role}
    destination = f"arn:aws:logs:us-east-1:000000000000:log-group:{group}"
    tags = [{"Key": "team", "Value": "identity"}]
    (first,) = ec2.create_flow_logs(
        **settings,
        LogDestination=destination,
        MaxAggregationInterval=60,
        TagSpecifications=[{"ResourceType": "vpc-flow-log", "Tags": tags}],
    )["FlowLogIds"]
    (second,) = ec2.create_flow_logs(**settings, LogGroupName=group)["FlowLogIds"]

    (described,) = ec2.describe_flow_logs(FlowLogIds=[first])["FlowLogs"]
    expected = {
        "DeliverLogsPermissionArn": role,
        "LogDestination": destination,
        "LogGroupName": group,
        "MaxAggregationInterval": 60,
        "Tags": tags,
    }
    assert described.items() >= expected.items()
    assert described["LogFormat"].startswith("${version} ${account-id}")
    (described,) = ec2.describe_flow_logs(FlowLogIds=[second])["FlowLogs"]
    assert (described["MaxAggregationInterval"], described["LogGroupName"], described["Tags"]) == (600, group, [])
