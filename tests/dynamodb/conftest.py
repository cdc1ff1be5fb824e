from collections.abc import Iterator
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer

from pipeline.sinks.dynamodb import DynamoDBSink
from tests.emulator.support import Aws, name


class Table:
    """A users table, and what is in it as Python values."""

    def __init__(self, client: Any, name: str) -> None:
        self.client, self.name = client, name

    @property
    def items(self) -> dict[str, dict[str, Any]]:
        read = TypeDeserializer().deserialize
        pages = self.client.get_paginator("scan").paginate(TableName=self.name, ConsistentRead=True)
        found = [{key: read(value) for key, value in item.items()} for page in pages for item in page["Items"]]
        return {item["user_id"]: item for item in found}

    def empty(self) -> None:
        for user_id in self.items:
            self.client.delete_item(TableName=self.name, Key={"user_id": {"S": user_id}})


@pytest.fixture(scope="session")
def dynamodb(aws: Aws) -> Iterator[Any]:
    client = aws.client("dynamodb")
    yield client
    client.close()


@pytest.fixture
def table(dynamodb: Any) -> Table:
    table = name("users")
    dynamodb.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "user_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "user_id", "KeyType": "HASH"}],
    )
    return Table(dynamodb, table)


@pytest.fixture
def sink(table: Table) -> DynamoDBSink:
    return DynamoDBSink(table.client, table.name, threads=4)
