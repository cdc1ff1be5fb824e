"""Count the events that consumers took and refused."""

from collections import Counter
from dataclasses import dataclass, field

from pipeline.delivery import Sent
from pipeline.delivery.consumers import Consumer
from pipeline.delivery.errors import QueueDown, cause


@dataclass
class Tally:
    """The number of events that were sent to consumers, by outcome."""

    sent: Counter[str] = field(default_factory=Counter)
    """Consumer to number of events that it took."""
    invoked: Counter[str] = field(default_factory=Counter)
    """Consumer to number of events that its function took in place of its queue."""
    refused: Counter[str] = field(default_factory=Counter)
    """Consumer and reason, to number of events that it did not take."""

    def add(self, consumer: Consumer, count: int, outcome: Sent) -> bool:
        """Count the outcome of ``count`` events; return whether the queue was up."""
        failed, invoked = outcome
        self.sent[consumer] += count - len(failed)
        self.invoked += Counter({consumer: len(invoked - failed.keys())})
        self.refused.update(f"{consumer}: {cause(error)}" for error in failed.values())
        return not any(isinstance(error, QueueDown) for error in failed.values())
