"""``put_item`` and ``get_item`` of DynamoDB in this process, as far as the sink uses them.

The tests compare it with the emulator.
"""

import threading
from typing import Any

from botocore.exceptions import ClientError

from tests.strategies import Json


class FakeDynamoDB:
    """Tables of items by ``user_id``.

    Conditions are ``attribute_not_exists(a)``, ``a < :b`` and ``a = :b``, joined by ``OR`` or by ``AND``.
    """

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Json]] = {}
        self._lock = threading.Lock()

    def put_item(
        self,
        *,
        TableName: str,  # noqa: N803 - AWS's names
        Item: Json,  # noqa: N803 - AWS's names
        ConditionExpression: str = "",  # noqa: N803 - AWS's names
        ExpressionAttributeValues: Json | None = None,  # noqa: N803 - AWS's names
        ReturnValuesOnConditionCheckFailure: str = "NONE",  # noqa: N803 - AWS's names
    ) -> Json:
        key = Item["user_id"]["S"]
        with self._lock:
            table = self.items.setdefault(TableName, {})
            stored = table.get(key)
            if ConditionExpression and not _holds(ConditionExpression, stored or {}, ExpressionAttributeValues or {}):
                error: Any = {
                    "Error": {"Code": "ConditionalCheckFailedException", "Message": "The conditional request failed"}
                }
                if stored is not None and ReturnValuesOnConditionCheckFailure == "ALL_OLD":
                    error["Item"] = stored
                raise ClientError(error, "PutItem")
            table[key] = Item
        return {}

    def get_item(self, *, TableName: str, Key: Json, ConsistentRead: bool = False) -> Json:  # noqa: N803 - AWS's names
        with self._lock:
            stored = self.items.get(TableName, {}).get(Key["user_id"]["S"])
        return {} if stored is None else {"Item": stored}


def _holds(expression: str, stored: Json, values: Json) -> bool:
    return any(
        all(_term(term.strip(), stored, values) for term in terms.split(" AND ")) for terms in expression.split(" OR ")
    )


def _term(term: str, stored: Json, values: Json) -> bool:
    if term.startswith("attribute_not_exists(") and term.endswith(")"):
        return term.removeprefix("attribute_not_exists(")[:-1] not in stored
    name, operator, value = term.split(" ")
    assert operator in ("<", "="), f"the fake does not know {operator!r}"
    if operator == "=":
        return name in stored and stored[name] == values[value]
    # A comparison with an attribute that is not there is false; strings compare by their bytes in UTF-8.
    return name in stored and stored[name]["S"].encode() < values[value]["S"].encode()
