"""The period in which a DynamoDB table can be restored.

AWS (DynamoDB API Reference: PointInTimeRecoverySpecification, PointInTimeRecoveryDescription): RecoveryPeriodInDays is
1 to 35, 35 where it is not given, and described while recovery is on.

MiniStack: does not know it, so Terraform would set it with every apply.
"""

# ruff: noqa: SLF001 - MiniStack's functions are private; patching.require checks them

import json
from typing import Any

from ministack.core import responses
from ministack.services import dynamodb

from devstack.emulator import patching

DAYS = 35

_original: dict[str, Any] = {}
_days = responses.AccountRegionScopedDict()


def apply() -> None:
    """Replace the setting and the description of continuous backups."""
    patching.require(dynamodb, "_normalize_table_name")
    for name, new in (
        ("_update_continuous_backups", update_continuous_backups),
        ("_describe_continuous_backups", describe_continuous_backups),
    ):
        _original[name] = patching.replace(dynamodb, name, new)


def update_continuous_backups(data: dict[str, Any]) -> Any:
    """UpdateContinuousBackups with a recovery period."""
    days = int((data.get("PointInTimeRecoverySpecification") or {}).get("RecoveryPeriodInDays") or DAYS)
    answer = _original["_update_continuous_backups"](data)
    if answer[0] == 200:
        _days[dynamodb._normalize_table_name(data["TableName"])] = days
    return _with_days(data, answer)


def describe_continuous_backups(data: dict[str, Any]) -> Any:
    """DescribeContinuousBackups with the recovery period."""
    return _with_days(data, _original["_describe_continuous_backups"](data))


def _with_days(data: dict[str, Any], answer: Any) -> Any:
    if answer[0] != 200:
        return answer
    described = json.loads(answer[2])
    recovery = described["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    if recovery["PointInTimeRecoveryStatus"] == "ENABLED":
        recovery["RecoveryPeriodInDays"] = _days.get(dynamodb._normalize_table_name(data["TableName"]), DAYS)
    return responses.json_response(described)
