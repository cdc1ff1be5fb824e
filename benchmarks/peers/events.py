"""Changes of users as a queue may deliver them: shuffled, some twice, some with equal times."""

import random

from benchmarks.peers.verdict import whole
from benchmarks.records import Records
from devstack.traffic import Traffic, envelope, sqs_record


def shuffled(events: int = 6_000, users: int = 400, seed: int = 1) -> Records:
    """Return the whole changes in a tenant's traffic, in random order, a third of them twice or more."""
    rng = random.Random(seed)
    changes = [event for event in Traffic(events, users, seed) if event.change is not None]
    changes += rng.sample(changes, len(changes) // 5)
    rng.shuffle(changes)
    records = [sqs_record(envelope(event), f"message-{number}") for number, event in enumerate(changes)]
    return [record for record in records if whole(record)]
