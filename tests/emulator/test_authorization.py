"""The emulator refuses what a caller's policies do not allow."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from .support import ACCOUNT, REGION, Aws, name

pytestmark = pytest.mark.emulator


@pytest.fixture
def person(aws: Aws) -> Iterator[tuple[Any, Any]]:
    """An IAM user's name and the user's SQS client."""
    iam, user = aws.client("iam"), name("person")
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    sqs = boto3.client(
        "sqs",
        REGION,
        endpoint_url=aws.emulator.endpoint,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    yield user, sqs
    sqs.close()
    iam.close()


def allow(aws: Aws, user: str, action: str, resource: str) -> None:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    aws.client("iam").put_user_policy(UserName=user, PolicyName="one", PolicyDocument=document)


def test_caller_may_do_what_its_policies_allow_and_no_more(aws: Aws, person: tuple[str, Any]) -> None:
    user, sqs = person
    url, arn = aws.queue()
    other, _ = aws.queue()
    with pytest.raises(ClientError, match="AccessDenied"):
        sqs.send_message(QueueUrl=url, MessageBody="x")
    allow(aws, user, "sqs:SendMessage", arn)
    sqs.send_message(QueueUrl=url, MessageBody="x")
    sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "x"}])
    with pytest.raises(ClientError, match="AccessDenied"):
        sqs.send_message(QueueUrl=other, MessageBody="x")
    with pytest.raises(ClientError, match="AccessDenied"):
        sqs.receive_message(QueueUrl=url)


def test_wrong_secret_is_refused(aws: Aws) -> None:
    iam, user = aws.client("iam"), name("person")
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]["AccessKeyId"]
    options = {"endpoint_url": aws.emulator.endpoint, "aws_access_key_id": key, "aws_secret_access_key": "guessed"}
    sqs: Any = boto3.client("sqs", REGION, **options)
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        sqs.list_queues()
    sqs.close()
    iam.close()


def test_request_counts_as_sent_over_tls(aws: Aws, person: tuple[str, Any]) -> None:
    user, sqs = person
    url, arn = aws.queue()
    insecure = {"Bool": {"aws:SecureTransport": "false"}}
    statement = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": arn, "Condition": insecure}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    allow(aws, user, "sqs:SendMessage", arn)
    sqs.send_message(QueueUrl=url, MessageBody="x")


def test_session_of_a_role_counts_as_the_role(aws: Aws) -> None:
    iam, sts, role = aws.client("iam"), aws.client("sts"), name("role")
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    rights = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [rights]})
    iam.put_role_policy(RoleName=role, PolicyName="send", PolicyDocument=document)
    queues = {allowed: aws.queue() for allowed in (arn, arn + "-other")}
    for allowed, (url, queue) in queues.items():
        condition = {"ArnNotEquals": {"aws:PrincipalArn": allowed}, "Bool": {"aws:PrincipalIsAWSService": "false"}}
        deny = {"Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": queue}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [deny | {"Condition": condition}]})
        aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    session = sts.assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
    sqs = boto3.client(
        "sqs",
        REGION,
        endpoint_url=aws.emulator.endpoint,
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )
    sqs.send_message(QueueUrl=queues[arn][0], MessageBody="x")
    with pytest.raises(ClientError, match="AccessDenied"):
        sqs.send_message(QueueUrl=queues[arn + "-other"][0], MessageBody="x")
    for client in (iam, sts, sqs):
        client.close()


def test_request_about_a_query_is_about_its_workgroup(aws: Aws) -> None:
    iam, user = aws.client("iam"), name("analyst")
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    options = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    athena: Any = boto3.client("athena", REGION, endpoint_url=aws.emulator.endpoint, **options)
    bucket = aws.bucket()
    mine, other = name("mine"), name("other")
    queries = {}
    for workgroup in (mine, other):
        aws.client("athena").create_work_group(Name=workgroup)
        queries[workgroup] = aws.client("athena").start_query_execution(
            QueryString="SELECT 1", WorkGroup=workgroup, ResultConfiguration={"OutputLocation": f"s3://{bucket}/"}
        )["QueryExecutionId"]
    allow(aws, user, "athena:GetQueryExecution", f"arn:aws:athena:{REGION}:{ACCOUNT}:workgroup/{mine}")
    athena.get_query_execution(QueryExecutionId=queries[mine])
    with pytest.raises(ClientError, match="AccessDenied"):
        athena.get_query_execution(QueryExecutionId=queries[other])
    athena.close()
    iam.close()


def test_boundary_may_name_the_tags_of_a_resource(aws: Aws, person: tuple[str, Any]) -> None:
    user, sqs = person
    (tagged, _), (plain, _) = aws.queue(), aws.queue()
    aws.sqs.tag_queue(QueueUrl=tagged, Tags={"Deployment": "mine"})
    mine = {"StringEquals": {"aws:ResourceTag/Deployment": "mine"}}
    statement = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*", "Condition": mine}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    boundary = aws.client("iam").create_policy(PolicyName=name("boundary"), PolicyDocument=document)["Policy"]["Arn"]
    aws.client("iam").put_user_permissions_boundary(UserName=user, PermissionsBoundary=boundary)
    allow(aws, user, "sqs:SendMessage", "*")
    sqs.send_message(QueueUrl=tagged, MessageBody="x")
    with pytest.raises(ClientError, match="AccessDenied"):
        sqs.send_message(QueueUrl=plain, MessageBody="x")
