from typing import Any

import pytest
from botocore.exceptions import ClientError

from .support import Aws, name

pytestmark = pytest.mark.emulator


def test_recovery_period_is_described_while_recovery_is_on(aws: Aws) -> None:
    dynamodb, table = aws.client("dynamodb"), name("table")
    dynamodb.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )

    def update(**specification: Any) -> None:
        dynamodb.update_continuous_backups(TableName=table, PointInTimeRecoverySpecification=specification)

    def described() -> Any:
        answer = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
        return answer["PointInTimeRecoveryDescription"].get("RecoveryPeriodInDays")

    assert described() is None
    update(PointInTimeRecoveryEnabled=True)
    assert described() == 35
    update(PointInTimeRecoveryEnabled=True, RecoveryPeriodInDays=7)
    assert described() == 7
    with pytest.raises(ClientError, match="ValidationException"):
        update(PointInTimeRecoveryEnabled=True, RecoveryPeriodInDays=36)
    update(PointInTimeRecoveryEnabled=False)
    assert described() is None
