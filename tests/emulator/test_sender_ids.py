"""Who sent a message: nobody can choose it."""

import json

from .support import ACCOUNT, Aws, allow
from .test_event_source_mapping import make_mapping

FUNCTION = """
import json, os
import boto3

def handler(event, context):
    sender = lambda record: record["attributes"]["SenderId"]
    body = json.dumps([context.invoked_function_arn, *map(sender, event["Records"])])
    boto3.client("sqs").send_message(QueueUrl=os.environ["OUT"], MessageBody=body)
"""


def test_a_message_names_the_principal_that_signed_the_request(aws: Aws) -> None:
    url, _ = aws.queue()
    aws.sqs.send_message(QueueUrl=url, MessageBody="of the account", MessageSystemAttributes={})
    user = aws.user(allow("sqs:SendMessage", "*"))
    user_id = aws.client("iam").get_user(UserName=user.name)["User"]["UserId"]
    user.client("sqs").send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "of the user"}])
    senders = {message["Body"]: message["Attributes"]["SenderId"] for message in aws.messages(url, 2)}
    assert senders == {"of the account": ACCOUNT, "of the user": user_id}


def test_a_function_is_named_by_its_role_and_hears_who_sent_and_which_alias_was_invoked(aws: Aws) -> None:
    (url, arn), (out, _) = aws.queue(), aws.queue()
    role = aws.role("lambda.amazonaws.com", allow("sqs:*", "*"))
    role_id = aws.client("iam").get_role(RoleName=role.rpartition("/")[2])["Role"]["RoleId"]
    made = aws.function(FUNCTION, Role=role, Timeout=3, Environment={"Variables": {"OUT": out}})
    function = made["FunctionName"]
    aws.lambda_.create_alias(FunctionName=function, Name="other", FunctionVersion="$LATEST")
    make_mapping(aws, function, arn, BatchSize=1)
    aws.sqs.send_message(QueueUrl=url, MessageBody="x")
    [message] = aws.messages(out, seconds=20)
    assert message["Attributes"]["SenderId"] == f"{role_id}:{function}"
    assert json.loads(message["Body"]) == [made["FunctionArn"], ACCOUNT]
    aws.lambda_.invoke(FunctionName=f"{function}:other", Payload=b'{"Records": []}')
    [message] = aws.messages(out, seconds=20)
    assert json.loads(message["Body"]) == [f"{made['FunctionArn']}:other"]
