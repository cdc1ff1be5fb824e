"""A delivery stream of Firehose: batches within its limits, and records that it did not take."""

from typing import Any

from pipeline.delivery.errors import RecordTooLarge, StreamDown, cause
from pipeline.delivery.stream import BATCH_BYTES, BATCH_RECORDS, RECORD_BYTES, Stream


class Firehose:
    """Takes records by Firehose's rules, but those of which ``busy`` says how often it does not."""

    def __init__(self, **busy: int) -> None:
        self.busy = busy
        self.batches: list[list[str]] = []

    def put_record_batch(self, DeliveryStreamName: str, Records: Any) -> Any:  # noqa: N803 - boto3's names
        assert DeliveryStreamName == "auth0-sync-prod-archive"
        data = [record["Data"] for record in Records]
        assert 0 < len(data) <= BATCH_RECORDS
        assert all(len(one) <= RECORD_BYTES for one in data)
        assert sum(map(len, data)) <= BATCH_BYTES
        taken, answers = [], []
        for body in (one.decode() for one in data):
            self.busy[body] = self.busy.get(body, 0) - 1
            if self.busy[body] >= 0:
                answers.append({"ErrorCode": "ServiceUnavailableException"})
            else:
                answers.append({"RecordId": body})
                taken.append(body)
        self.batches.append(taken)
        return {"RequestResponses": answers}


def stream(firehose: Any) -> Stream:
    return Stream(firehose, "auth0-sync-prod-archive", sleep=lambda _: None)


def test_only_a_failed_record_is_sent_again() -> None:
    firehose = Firehose(b=2)
    assert stream(firehose).send(["a", "b", "c"]).failed == {}
    assert firehose.batches == [["a", "c"], [], ["b"]]


def test_record_that_is_never_taken_has_failed() -> None:
    failed = stream(Firehose(b=3)).send(["a", "b", "c"]).failed
    assert {position: (type(error), cause(error)) for position, error in failed.items()} == {
        1: (StreamDown, "ServiceUnavailableException")
    }


def test_batches_keep_to_the_limits() -> None:
    firehose = Firehose()
    large = [f"{number}{'x' * (RECORD_BYTES - 2)}" for number in range(6)]
    bodies = [*large, "é" * (RECORD_BYTES // 2 + 1), *(f"{number}" for number in range(600))]
    failed = stream(firehose).send(bodies).failed
    assert {position: type(error) for position, error in failed.items()} == {6: RecordTooLarge}
    assert [body for batch in firehose.batches for body in batch] == [body for body in bodies if body != bodies[6]]
