"""Read CloudWatch's counts of events. They are minutes late, and CloudWatch does not promise complete ones."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from pipeline.doctor.deployed import Deployed


def total(
    deployed: Deployed, namespace: str, metric: str, dimensions: Mapping[str, str], start: datetime, end: datetime
) -> int:
    """Return the sum of a metric; 0 without data."""
    answer = deployed.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=start,
        EndTime=end,
        Period=60 if end - start <= timedelta(hours=1) else 3600,
        Statistics=["Sum"],
    )
    return int(sum(point["Sum"] for point in answer["Datapoints"]))


def of_archive_rules(deployed: Deployed, metric: str, start: datetime, end: datetime) -> dict[str, int]:
    """Return the sum of a metric of the archive's rules, by stream. These rules match every event of Auth0."""
    rules, buses = deployed.outputs["rule_names"]["archive"], deployed.outputs["bus_names"]
    return {
        stream: total(deployed, "AWS/Events", metric, {"EventBusName": buses[stream], "RuleName": rule}, start, end)
        for stream, rule in rules.items()
    }
