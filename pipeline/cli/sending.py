"""The queues to which a command sends, and the lines about the outcome."""

from collections import Counter
from collections.abc import Iterable

from pipeline.cli import aws
from pipeline.cli.terminal import console, in_markup
from pipeline.delivery.consumers import Consumer
from pipeline.delivery.queue import Queue
from pipeline.delivery.tally import Tally
from pipeline.delivery.targets import client_config, open_queue


def open_queues(deployment: str, consumers: Iterable[Consumer], threads: int = 1) -> dict[Consumer, Queue]:
    """Return the queues of consumers, each with its function, for use by ``threads``. Raises BadSettings."""
    config = client_config(threads)
    sqs, lambda_ = aws.client("sqs", config=config), aws.client("lambda", config=config)
    return {consumer: open_queue(sqs, lambda_, deployment, consumer) for consumer in consumers}


def show_outcome(tally: Tally) -> None:
    """Print the number of events that each consumer took, and the reasons of those that it refused."""
    for consumer, number in tally.sent.items():
        direct = tally.invoked[consumer]
        console.print(f"Sent to {consumer}: {number:,}" + (f", {direct:,} directly to its function" if direct else ""))
    show_refused(tally.refused)


def show_refused(refused: Counter[str]) -> None:
    """Print the number of events by the reason of their refusal."""
    for reason, number in refused.most_common():
        console.print(f"  [red]not taken[/], {in_markup(reason)}: {number:,}", highlight=False)
