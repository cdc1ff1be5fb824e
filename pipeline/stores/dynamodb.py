"""The users in DynamoDB."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer

from pipeline.stores import User, Version

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoDBStore:
    """The users table, read consistently."""

    def __init__(self, client: "DynamoDBClient", table: str, page: int = 1000) -> None:
        self._client = client
        self._table = table
        self._page = page

    def read(self, user_id: str) -> User | None:
        """See `Store`."""
        key = {"user_id": {"S": user_id}}
        answer: Any = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return plain(answer["Item"]) if "Item" in answer else None

    def find(self, email: str) -> list[str]:
        """Find users; see `Store`. Scans the table, which has no index of addresses; misses users without a profile."""
        wanted = email.lower()
        found = [
            item["user_id"]
            for item in map(plain, self._scan("user_id, #profile", {"#profile": "profile"}))
            if (address := _email(item)) and address.lower() == wanted
        ]
        return sorted(found, key=str.encode)

    def versions(self) -> Iterator[Version]:
        """Return versions; see `Store`. A scan has no order, so this sorts in memory: 160 MB for a million users."""
        lines = sorted(
            f"{item['user_id']['S']}\0{item['version']['S']}".encode() for item in self._scan("user_id, version")
        )
        for line in lines:
            user_id, _, version = line.decode().partition("\0")
            yield Version(user_id, version)

    def _scan(self, attributes: str, names: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        options: Any = {"ExpressionAttributeNames": names} if names else {}
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            ProjectionExpression=attributes,
            ConsistentRead=True,
            PaginationConfig={"PageSize": self._page},
            **options,
        )
        for page in pages:
            yield from page["Items"]


def plain(item: Mapping[str, Any]) -> User:
    """Return an item as JSON values: numbers as `int` where they are whole, else `float`."""
    deserialize: Any = TypeDeserializer().deserialize
    return {name: _plain(deserialize(value)) for name, value in item.items()}


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case _:
            return value


def _email(item: Mapping[str, Any]) -> str | None:
    """Return the address in an item's profile, which the sink stores as JSON text where DynamoDB cannot hold it."""
    profile = item.get("profile", {})
    with suppress(ValueError, RecursionError):  # changed by hand, or nested too deep: find the others
        profile = json.loads(profile) if isinstance(profile, str) else profile
    email = profile.get("email") if isinstance(profile, dict) else None
    return email if isinstance(email, str) else None
