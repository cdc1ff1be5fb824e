"""List the messages of a dead-letter queue, with their reasons; put them back, or delete them.

A target has two such queues: `failed` has the messages that its function gave up, `undelivered` those of EventBridge.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from pipeline.changes import read
from pipeline.delivery import Delivery
from pipeline.delivery.dead_letters import DeadLetters
from pipeline.delivery.errors import QueueDown, StreamDown, cause
from pipeline.errors import Poison
from pipeline.events import event_type

ROUND: Final = 500
"""Messages whose reasons one look-up in the log returns."""
AT_ONCE: Final = 10
"""Messages to send before their deletion, so that a target that is down is not sent all of them."""
BATCH_FAILED: Final = "BatchFailed"
"""Reason of a readable message that the log does not name: its whole batch failed at every try."""
LOGGED: Final = (
    '{ $.message = "message not stored" || $.message = "message not refreshed" || $.message = "slice not loaded" }'
)
"""Filter pattern of CloudWatch Logs for the lines that give the reason of a message."""

Log = Callable[[float, str], Iterable[str]]
"""Reads the lines of the function's log from a Unix time on that match a filter pattern."""

Reasons = Callable[[Sequence[Any]], dict[str, str]]
"""Returns the reasons why messages are in their dead-letter queue, by message id."""


@dataclass(frozen=True)
class Failed:
    """A message in a dead-letter queue. ``users`` is empty unless requested: it is personal data."""

    id: str
    reason: str
    type: str
    bytes: int
    sent: datetime
    received: int
    """Number of times that the function received it; 0 for an undelivered one."""
    rule: str
    """EventBridge's rule that matched it, if it was undelivered."""
    users: list[str]


@dataclass(frozen=True)
class Choice:
    """A choice of messages by reasons and by ids; an empty choice includes all."""

    reasons: Sequence[str] = ()
    ids: Sequence[str] = ()

    def includes(self, message: Failed) -> bool:
        """Return whether a message is chosen."""
        return (not self.reasons or message.reason in self.reasons) and (not self.ids or message.id in self.ids)


@dataclass
class Report:
    """The chosen messages of a dead-letter queue, and the number of them that left it."""

    messages: list[Failed] = field(default_factory=list)
    done: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Reason why messages are still there, to number of messages."""


def find(
    letters: DeadLetters,
    reasons: Reasons,
    choice: Choice,
    *,
    limit: int | None = None,
    users: bool = False,
    put_back: Delivery | None = None,
    delete: bool = False,
) -> Report:
    """Describe the chosen messages; delete them, or send them to ``put_back`` and delete those that it took.

    Sends no more to a target that is down.
    """
    report = Report()
    for messages in _rounds(letters, limit):
        described = _describe(messages, reasons, users=users)
        chosen = {one.id: one for one in described if choice.includes(one)}
        report.messages += chosen.values()
        wanted = [message for message in messages if message["MessageId"] in chosen]
        if put_back is not None:
            if not _put_back(letters, wanted, put_back, report):
                break
        elif delete:
            _delete(letters, wanted, report)
    return report


def _put_back(letters: DeadLetters, messages: Sequence[Any], to: Delivery, report: Report) -> bool:
    """Send messages and delete those that were taken; return whether the target is up."""
    for start in range(0, len(messages), AT_ONCE):
        batch = messages[start : start + AT_ONCE]
        failed = to.send([message["Body"] for message in batch]).failed
        report.refused.update(cause(error) for error in failed.values())
        _delete(letters, [message for place, message in enumerate(batch) if place not in failed], report)
        if len(failed) == len(batch) and all(isinstance(error, QueueDown | StreamDown) for error in failed.values()):
            return False
    return True


def _delete(letters: DeadLetters, messages: Sequence[Any], report: Report) -> None:
    gone = letters.delete(messages)
    report.done += gone
    report.refused.update({"NotDeleted": len(messages) - gone} if gone < len(messages) else {})


def _rounds(letters: DeadLetters, limit: int | None) -> Iterator[list[Any]]:
    gathered: list[Any] = []
    for messages in letters.batches(limit):
        gathered += messages
        if len(gathered) >= ROUND:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


def _describe(messages: Sequence[Any], reasons: Reasons, *, users: bool) -> list[Failed]:
    known = reasons(messages)
    return [
        Failed(
            message["MessageId"],
            known[message["MessageId"]],
            _type(message["Body"]),
            len(message["Body"].encode()),
            datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
            int(message["Attributes"]["ApproximateReceiveCount"]) - 1,
            _attribute(message, "RULE_ARN").rpartition("/")[2],
            sorted(_users(message["Body"])) if users else [],
        )
        for message in messages
    ]


def undelivered(messages: Sequence[Any]) -> dict[str, str]:
    """Return EventBridge's reasons, such as ``NO_PERMISSIONS``."""
    return {message["MessageId"]: _attribute(message, "ERROR_CODE") or "unknown" for message in messages}


def given_up(log: Log, messages: Sequence[Any]) -> dict[str, str]:
    """Return a function's reasons: the error of reading the message, else the error in its log."""
    found: dict[str, str] = {}
    for message in messages:
        try:
            read(message["Body"])
        except Poison as error:
            found[message["MessageId"]] = error.reason
    return found | by_log(log, [message for message in messages if message["MessageId"] not in found])


def by_log(log: Log, messages: Sequence[Any]) -> dict[str, str]:
    """Return a function's reasons: the error in its log."""
    logged = _logged(log, messages)
    return {message["MessageId"]: logged.get(message["MessageId"], BATCH_FAILED) for message in messages}


def _logged(log: Log, messages: Sequence[Any]) -> dict[str, str]:
    """Return the reasons that the function's log gives for messages, by message id."""
    wanted = {message["MessageId"] for message in messages}
    found: dict[str, str] = {}
    if not wanted:
        return found
    since = min(int(message["Attributes"]["SentTimestamp"]) for message in messages) / 1000
    for line in log(since, LOGGED):
        entry = json.loads(line)
        if entry["message_id"] in wanted:
            found[entry["message_id"]] = entry["reason"]
        if len(found) == len(wanted):
            break
    return found


def _type(body: str) -> str:
    try:
        return event_type(body) or "unknown"
    except Poison:
        return "unknown"


def _users(body: str) -> set[str]:
    try:
        return {one.user_id for one in read(body) if hasattr(one, "user_id")}
    except Poison:
        return set()


def _attribute(message: Any, name: str) -> str:
    value: str = message.get("MessageAttributes", {}).get(name, {}).get("StringValue", "")
    return value
