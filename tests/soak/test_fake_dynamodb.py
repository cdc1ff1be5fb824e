"""The fake answers as the emulator does."""

from random import Random
from typing import Any

from botocore.exceptions import ClientError

from tests.emulator.support import Aws, name
from tests.soak.fake_dynamodb import FakeDynamoDB

CONDITIONS = (
    "",
    "attribute_not_exists(user_id)",
    "version < :version",
    "attribute_not_exists(user_id) OR version < :version",
    "version = :version AND attribute_not_exists(carried)",
    "version = :version AND carried = :carried",
)


def answer(client: Any, request: Any) -> Any:
    try:
        client.put_item(**request)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response.get("Item")
    return None


def test_the_fake_answers_as_the_emulator_does(aws: Aws) -> None:
    client, table, fake = aws.client("dynamodb"), name("users"), FakeDynamoDB()
    client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "user_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "user_id", "KeyType": "HASH"}],
    )
    rng, outcomes = Random(1), set()
    for _ in range(250):
        key, condition, text = (
            rng.choice("abcd"),
            rng.choice(CONDITIONS),
            rng.choice(("0", "1", "é", "z", "😀", "\uffff")),
        )
        item = {"user_id": {"S": key}, "n": {"N": str(rng.randrange(9))}}
        if rng.random() < 0.8:
            item["version"] = {"S": text}
        if rng.random() < 0.5:
            item["carried"] = {"S": rng.choice("xy")}
        request: dict[str, Any] = {
            "TableName": table,
            "Item": item,
            "ReturnValuesOnConditionCheckFailure": rng.choice(("NONE", "ALL_OLD")),
        }
        if condition:
            request["ConditionExpression"] = condition
        if ":version" in condition:
            request["ExpressionAttributeValues"] = {":version": {"S": text}}
        if ":carried" in condition:
            request["ExpressionAttributeValues"] |= {":carried": {"S": "x"}}
        found = answer(fake, request)
        assert found == answer(client, request), request
        outcomes.add((found and found[0], found is not None and found[1] is not None))
    assert outcomes == {
        (None, False),
        ("ConditionalCheckFailedException", False),
        ("ConditionalCheckFailedException", True),
    }
    for key in "abcd":
        found, real = (store.get_item(TableName=table, Key={"user_id": {"S": key}}) for store in (fake, client))
        assert found.get("Item") == real.get("Item")
    scanned = client.scan(TableName=table)["Items"]
    assert {item["user_id"]["S"]: item for item in scanned} == fake.items[table]
    client.close()
