import json

import pytest

from .support import Aws

pytestmark = pytest.mark.emulator

POLICY = {"Statement": [{"Action": "dynamodb:Scan", "Effect": "Allow", "Principal": "*", "Resource": "a<b&c"}]}
SERVICE = "com.amazonaws.us-east-1.dynamodb"


def test_an_endpoint_has_the_policy_that_it_was_given(aws: Aws) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/24")["Vpc"]["VpcId"]
    made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=SERVICE, PolicyDocument=json.dumps(POLICY))["VpcEndpoint"]
    assert json.loads(made["PolicyDocument"]) == POLICY

    def described() -> object:
        [found] = ec2.describe_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])["VpcEndpoints"]
        return json.loads(found["PolicyDocument"])

    assert described() == POLICY
    ec2.modify_vpc_endpoint(VpcEndpointId=made["VpcEndpointId"], PolicyDocument='{"Statement": []}')
    assert described() == {"Statement": []}


def test_an_endpoint_without_a_policy_allows_everything(aws: Aws) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/24")["Vpc"]["VpcId"]
    made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=SERVICE)["VpcEndpoint"]
    [statement] = json.loads(made["PolicyDocument"])["Statement"]
    assert (statement["Effect"], statement["Action"], statement["Resource"]) == ("Allow", "*", "*")
