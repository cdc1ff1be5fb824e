"""A real queue with redeliveries in front of the function: the dead-letter queue gets only what cannot be stored."""

import json
import time

from pipeline.errors import Retry
from tests.emulator.support import Aws, wait_for
from tests.faults.support import NEW, BreakableServer, names, updates
from tests.invoking import Function
from tests.strategies import text, updated, user

RECEIVES = 5  # as the Terraform has it


class Queue:
    """A queue with its dead letters, polled as Lambda does."""

    def __init__(self, aws: Aws, function: Function) -> None:
        self._sqs, self._function = aws.sqs, function
        self.dead, arn = aws.queue()
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": RECEIVES})
        self._url, _ = aws.queue(VisibilityTimeout="1", RedrivePolicy=redrive)

    def send(self, *bodies: str) -> list[str]:
        """Send, and return the ids of the messages."""
        return [self._sqs.send_message(QueueUrl=self._url, MessageBody=body)["MessageId"] for body in bodies]

    def poll(self) -> bool:
        """Invoke the function once with what the queue has to give; whether it returned."""
        found = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages", [])
        if not found:
            time.sleep(0.1)
            return False
        try:
            failed = self._function.invoke([{"messageId": one["MessageId"], "body": one["Body"]} for one in found])
        except Retry:
            return False
        for one in found:
            if one["MessageId"] not in failed:
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=one["ReceiptHandle"])
        return True

    @property
    def empty(self) -> bool:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        left = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)["Attributes"]
        return not any(int(number) for number in left.values())


def test_only_what_cannot_be_stored_is_a_dead_letter(server: BreakableServer, function: Function, aws: Aws) -> None:
    queue = Queue(aws, function)
    refused = text(updated(user("a|refused", user_metadata={"x": "@@"}))).replace('"@@"', "1e200000")
    good = [text(event) for event in updates(NEW, 4)]
    queue.send(*good[:2])
    not_json, too_large = queue.send("not JSON", refused)
    queue.send(*good[2:])
    server.stop()
    wait_for(lambda: queue.poll() or len(function.logged("batch not stored")) == 2)
    assert function.logged("batch") == []
    server.start()
    wait_for(queue.poll)
    # Stored by the first delivery after the trouble; the bad ones have kept nobody waiting.
    assert server.names == names(NEW, 4)
    wait_for(lambda: (queue.poll(), queue.empty)[1])
    dead = {message["MessageId"]: message["Body"] for message in aws.messages(queue.dead, 2)}
    assert dead == {not_json: "not JSON", too_large: refused}
    reasons = {line["message_id"]: line["reason"] for line in function.logged("message not stored")}
    assert reasons == {not_json: "NotJson", too_large: "Refused"}
    assert server.names == names(NEW, 4)
