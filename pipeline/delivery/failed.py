"""List the messages that a function gave up, with their reasons; put them back, or delete them."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from pipeline.changes import read
from pipeline.delivery import Delivery
from pipeline.delivery.dead_letters import DeadLetters
from pipeline.delivery.errors import cause
from pipeline.errors import Poison
from pipeline.events import event_type

ROUND: Final = 500
"""Messages whose reasons one look-up in the log returns."""
BATCH_FAILED: Final = "BatchFailed"
"""Reason of a readable message that the log does not name: its whole batch failed at every try."""
LOGGED: Final = '{ $.message = "message not stored" || $.message = "message not refreshed" }'
"""Filter pattern of CloudWatch Logs for the lines that give the reason of a message."""

Log = Callable[[float, str], Iterable[str]]
"""Reads the lines of the function's log from a Unix time on that match a filter pattern."""


@dataclass(frozen=True)
class Failed:
    """A message that the function gave up. ``users`` is empty unless requested: it is personal data."""

    id: str
    reason: str
    type: str
    bytes: int
    sent: datetime
    received: int
    """Number of times that the function received it."""
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
    """The chosen messages, and the number of them that left the dead-letter queue."""

    messages: list[Failed] = field(default_factory=list)
    done: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Reason why messages are still there, to number of messages."""


def find(
    letters: DeadLetters,
    log: Log,
    choice: Choice,
    *,
    limit: int | None = None,
    users: bool = False,
    put_back: Delivery | None = None,
    delete: bool = False,
) -> Report:
    """Describe the chosen messages; delete them, or send them to ``put_back`` and delete those that it took."""
    report = Report()
    for messages in _rounds(letters, limit):
        described = _describe(messages, log, users=users)
        chosen = {one.id: one for one in described if choice.includes(one)}
        report.messages += chosen.values()
        taken = [message for message in messages if message["MessageId"] in chosen]
        if put_back is not None:
            failed = put_back.send([message["Body"] for message in taken]).failed
            report.refused.update(cause(error) for error in failed.values())
            taken = [message for place, message in enumerate(taken) if place not in failed]
        elif not delete:
            continue
        gone = letters.delete(taken)
        report.done += gone
        report.refused.update({"NotDeleted": len(taken) - gone} if gone < len(taken) else {})
    return report


def _rounds(letters: DeadLetters, limit: int | None) -> Iterator[list[Any]]:
    gathered: list[Any] = []
    for messages in letters.batches(limit):
        gathered += messages
        if len(gathered) >= ROUND:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


def _describe(messages: Sequence[Any], log: Log, *, users: bool) -> list[Failed]:
    unreadable, named = {}, {}
    for message in messages:
        try:
            named[message["MessageId"]] = read(message["Body"])
        except Poison as error:
            unreadable[message["MessageId"]] = error.reason
    logged = _logged(log, [message for message in messages if message["MessageId"] in named])
    return [
        Failed(
            name := message["MessageId"],
            unreadable.get(name) or logged.get(name, BATCH_FAILED),
            _type(message["Body"]),
            len(message["Body"].encode()),
            datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
            int(message["Attributes"]["ApproximateReceiveCount"]) - 1,
            sorted({one.user_id for one in named.get(name, ()) if hasattr(one, "user_id")}) if users else [],
        )
        for message in messages
    ]


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
