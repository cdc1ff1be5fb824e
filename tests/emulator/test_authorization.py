"""The emulator refuses what a caller's policies do not allow."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .support import ACCOUNT, REGION, Aws, Caller, allow, name, policy

pytestmark = pytest.mark.emulator


def grant(aws: Aws, person: Caller, *statements: dict[str, Any]) -> None:
    """Give a user these statements and no other."""
    aws.client("iam").put_user_policy(UserName=person.name, PolicyName="rights", PolicyDocument=policy(*statements))


def test_caller_may_do_what_its_policies_allow_and_no_more(aws: Aws) -> None:
    person = aws.user()
    sqs = person.client("sqs")
    url, arn = aws.queue()
    other, _ = aws.queue()
    with pytest.raises(ClientError, match="AccessDenied"):
        sqs.send_message(QueueUrl=url, MessageBody="x")
    grant(aws, person, allow("sqs:SendMessage", arn))
    sqs.send_message(QueueUrl=url, MessageBody="x")
    sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "x"}])
    with pytest.raises(ClientError, match="AccessDenied"):
        sqs.send_message(QueueUrl=other, MessageBody="x")
    with pytest.raises(ClientError, match="AccessDenied"):
        sqs.receive_message(QueueUrl=url)


def test_wrong_secret_is_refused(aws: Aws) -> None:
    thief = replace(aws.user(), secret="guessed")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        thief.client("sqs").list_queues()


def test_request_counts_as_sent_over_tls(aws: Aws) -> None:
    url, arn = aws.queue()
    insecure = {"Bool": {"aws:SecureTransport": "false"}}
    statement = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": arn, "Condition": insecure}
    aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(statement)})
    aws.user(allow("sqs:SendMessage", arn)).client("sqs").send_message(QueueUrl=url, MessageBody="x")


def test_session_of_a_role_counts_as_the_role(aws: Aws) -> None:
    session = aws.session(allow("sqs:SendMessage", "*"))
    queues = {allowed: aws.queue() for allowed in (session.arn, session.arn + "-other")}
    for allowed, (url, queue) in queues.items():
        condition = {"ArnNotEquals": {"aws:PrincipalArn": allowed}, "Bool": {"aws:PrincipalIsAWSService": "false"}}
        deny = {"Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": queue}
        aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(deny | {"Condition": condition})})
    sqs = session.client("sqs")
    sqs.send_message(QueueUrl=queues[session.arn][0], MessageBody="x")
    with pytest.raises(ClientError, match="AccessDenied"):
        sqs.send_message(QueueUrl=queues[session.arn + "-other"][0], MessageBody="x")


def test_request_about_a_query_is_about_its_workgroup(aws: Aws) -> None:
    bucket = aws.bucket()
    mine, other = name("mine"), name("other")
    queries = {}
    for workgroup in (mine, other):
        aws.client("athena").create_work_group(Name=workgroup)
        queries[workgroup] = aws.client("athena").start_query_execution(
            QueryString="SELECT 1", WorkGroup=workgroup, ResultConfiguration={"OutputLocation": f"s3://{bucket}/"}
        )["QueryExecutionId"]
    workgroups = f"arn:aws:athena:{REGION}:{ACCOUNT}:workgroup"
    athena = aws.user(allow("athena:GetQueryExecution", f"{workgroups}/{mine}")).client("athena")
    athena.get_query_execution(QueryExecutionId=queries[mine])
    with pytest.raises(ClientError, match="AccessDenied"):
        athena.get_query_execution(QueryExecutionId=queries[other])


def test_boundary_may_name_the_tags_of_a_resource(aws: Aws) -> None:
    (tagged, _), (plain, _) = aws.queue(), aws.queue()
    aws.sqs.tag_queue(QueueUrl=tagged, Tags={"Deployment": "mine"})
    mine = allow("sqs:*", "*", Condition={"StringEquals": {"aws:ResourceTag/Deployment": "mine"}})
    iam, person = aws.client("iam"), aws.user(allow("sqs:SendMessage", "*"))
    boundary = iam.create_policy(PolicyName=name("boundary"), PolicyDocument=policy(mine))["Policy"]["Arn"]
    iam.put_user_permissions_boundary(UserName=person.name, PermissionsBoundary=boundary)
    sqs = person.client("sqs")
    sqs.send_message(QueueUrl=tagged, MessageBody="x")
    with pytest.raises(ClientError, match="AccessDenied"):
        sqs.send_message(QueueUrl=plain, MessageBody="x")
