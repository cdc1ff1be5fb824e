"""The cost of a scan of the users table."""

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DOLLARS_PER_MILLION: Final = 0.125
"""Price of a million read units on demand in us-east-1 (docs/cost.md)."""


class Cost(NamedTuple):
    """The cost of one scan, by the table's size, which DynamoDB updates every six hours."""

    users: int
    bytes: int

    @property
    def read_units(self) -> int:
        """Return the units of a scan: half a unit for 4 KB, as it need not be consistent.

        DynamoDB bills what it reads, before the projection (Developer Guide, "Scanning tables").
        """
        return -(-self.bytes // 8192)

    @property
    def dollars(self) -> float:
        """Return the price on demand in us-east-1."""
        return self.read_units * DOLLARS_PER_MILLION / 1_000_000


def cost_of_scan(client: "DynamoDBClient", table: str) -> Cost:
    """Return the cost of a scan of a table."""
    described = client.describe_table(TableName=table)["Table"]
    return Cost(described.get("ItemCount", 0), described.get("TableSizeBytes", 0))
