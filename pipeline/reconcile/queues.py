"""Find the age of the oldest change in a sink's queue."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from pipeline.delivery.targets import queue_url

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_sqs import SQSClient

_COUNTS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
_LOOK_BACK: Final = timedelta(minutes=10)


def waiting(sqs: "SQSClient", cloudwatch: "CloudWatchClient", name: str, now: datetime) -> timedelta:
    """Return the age of the oldest message of a queue; nothing if the queue is empty, or its metric too young.

    The metric leaves out messages that the function has received more than three times (Amazon SQS Developer Guide,
    "Available CloudWatch metrics"): `auth0-sync failed` is about those.
    """
    names: Any = list(_COUNTS)
    counts = sqs.get_queue_attributes(QueueUrl=queue_url(sqs, name), AttributeNames=names)["Attributes"]
    if not any(int(counts[one]) for one in _COUNTS):
        return timedelta()
    answer = cloudwatch.get_metric_statistics(
        Namespace="AWS/SQS",
        MetricName="ApproximateAgeOfOldestMessage",
        Dimensions=[{"Name": "QueueName", "Value": name}],
        StartTime=now - _LOOK_BACK,
        EndTime=now,
        Period=60,
        Statistics=["Maximum"],
    )
    return timedelta(seconds=max((point["Maximum"] for point in answer["Datapoints"]), default=0))
