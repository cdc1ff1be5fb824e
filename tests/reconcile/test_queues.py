"""`waiting` reads the age of a queue's oldest message only if the queue has messages."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.reconcile.cost import Cost
from pipeline.reconcile.queues import waiting

NOW = datetime(2026, 11, 22, 7, tzinfo=UTC)


class Aws:
    """SQS and CloudWatch."""

    def __init__(self, ages: list[float], **counts: int) -> None:
        self._ages, self._counts = ages, counts
        self.asked: list[Any] = []

    def get_queue_url(self, **request: Any) -> Any:
        return {"QueueUrl": f"https://{request['QueueName']}"}

    def get_queue_attributes(self, **request: Any) -> Any:
        return {
            "Attributes": {
                f"ApproximateNumberOfMessages{state}": str(self._counts.get(state or "visible", 0))
                for state in ("", "NotVisible", "Delayed")
            }
        }

    def get_metric_statistics(self, **request: Any) -> Any:
        self.asked.append(request)
        return {"Datapoints": [{"Maximum": age} for age in self._ages]}


@pytest.mark.parametrize(
    ("counts", "ages", "seconds"),
    [
        ({}, [900.0], 0),
        ({"visible": 1}, [], 0),
        ({"visible": 1}, [30.0, 900.0], 900),
        ({"NotVisible": 1}, [900.0], 900),
        ({"Delayed": 1}, [900.0], 900),
    ],
)
def test_age_of_the_oldest_message(counts: dict[str, int], ages: list[float], seconds: int) -> None:
    aws: Any = Aws(ages, **counts)
    assert waiting(aws, aws, "auth0-sync-prod-postgres", NOW) == timedelta(seconds=seconds)
    for request in aws.asked:
        assert request["Dimensions"] == [{"Name": "QueueName", "Value": "auth0-sync-prod-postgres"}]
        assert request["EndTime"] == NOW


def test_a_scan_costs_half_a_unit_for_4_kb() -> None:
    ten_million = Cost(10_000_000, 24 * 2**30)
    assert ten_million.read_units == 3_145_728
    assert round(ten_million.dollars, 2) == 0.39
