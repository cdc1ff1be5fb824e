from typing import Any

import pytest
from botocore.exceptions import ClientError

from .support import Aws, allow, name, policy, wait_for

pytestmark = pytest.mark.emulator


class Network:
    """A subnet with a security group, and functions in it whose role may delete network interfaces."""

    def __init__(self, aws: Aws) -> None:
        self.aws, self.ec2, self.iam = aws, aws.client("ec2"), aws.client("iam")
        vpc = self.ec2.create_vpc(CidrBlock="10.1.0.0/24")["Vpc"]["VpcId"]
        self.subnet = self.ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/26")["Subnet"]["SubnetId"]
        self.group = self.ec2.create_security_group(VpcId=vpc, GroupName="g", Description="g")["GroupId"]
        self.role = name("role")
        self.arn = self.iam.create_role(RoleName=self.role, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        document = policy(allow("ec2:DeleteNetworkInterface", "*"))
        self.iam.put_role_policy(RoleName=self.role, PolicyName="p", PolicyDocument=document)

    def function(self) -> str:
        vpc = {"SubnetIds": [self.subnet], "SecurityGroupIds": [self.group]}
        return str(self.aws.function(Role=self.arn, VpcConfig=vpc)["FunctionName"])

    def delete(self, function: str) -> None:
        self.aws.lambda_.delete_function(FunctionName=function)

    def delete_role(self) -> None:
        self.iam.delete_role_policy(RoleName=self.role, PolicyName="p")
        self.iam.delete_role(RoleName=self.role)

    def interfaces(self) -> Any:
        filters = {"group-id": self.group, "interface-type": "lambda", "description": "AWS Lambda VPC ENI-*"}
        found = self.ec2.describe_network_interfaces(
            Filters=[{"Name": key, "Values": [value]} for key, value in filters.items()]
        )
        return found["NetworkInterfaces"]


def test_an_interface_is_shared_and_outlives_the_functions(aws: Aws) -> None:
    network = Network(aws)
    first, second = network.function(), network.function()
    [interface] = network.interfaces()
    assert interface["Description"].startswith(f"AWS Lambda VPC ENI-{first}-")
    assert (interface["SubnetId"], interface["Status"]) == (network.subnet, "in-use")
    assert interface["Attachment"]["InstanceOwnerId"] == "amazon-aws"
    network.delete(first)
    network.delete(second)

    [interface] = network.interfaces()
    for delete, argument in (
        (network.ec2.delete_security_group, {"GroupId": network.group}),
        (network.ec2.delete_subnet, {"SubnetId": network.subnet}),
    ):
        with pytest.raises(ClientError, match="DependencyViolation"):
            delete(**argument)

    with pytest.raises(ClientError, match="currently in use"):
        network.ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])

    wait_for(lambda: not network.interfaces())
    network.ec2.delete_security_group(GroupId=network.group)
    network.ec2.delete_subnet(SubnetId=network.subnet)


def test_network_interface_stays_without_the_role(aws: Aws) -> None:
    abandoned, other = Network(aws), Network(aws)
    for network in (abandoned, other):
        network.delete(network.function())
    abandoned.delete_role()
    wait_for(lambda: not other.interfaces())  # deleted later
    assert len(abandoned.interfaces()) == 1


def test_one_in_use_stays(aws: Aws) -> None:
    network, other = Network(aws), Network(aws)
    network.function()
    network.delete(network.function())
    other.delete(other.function())
    wait_for(lambda: not other.interfaces())
    assert len(network.interfaces()) == 1


def test_a_function_that_leaves_the_network_leaves_its_interface(aws: Aws) -> None:
    network = Network(aws)
    function = network.function()
    nowhere: dict[str, list[str]] = {"SubnetIds": [], "SecurityGroupIds": []}
    aws.lambda_.update_function_configuration(FunctionName=function, VpcConfig=nowhere)
    assert len(network.interfaces()) == 1
    wait_for(lambda: not network.interfaces())


def test_an_unknown_filter_is_refused(aws: Aws) -> None:
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        aws.client("ec2").describe_network_interfaces(Filters=[{"Name": "colour", "Values": ["red"]}])
