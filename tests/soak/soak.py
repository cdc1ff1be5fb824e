"""One history through both stores, delivered in a random way, and the comparison with the model."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from typing import Any

import psycopg

from pipeline.functions.sync import CHUNK
from pipeline.sinks.postgres import PostgresSink
from tests.soak.fake_dynamodb import FakeDynamoDB
from tests.soak.histories import Message, history, model, told
from tests.soak.stores import (
    PUT_FAULTS,
    STATEMENT_FAULTS,
    DynamoDBWriter,
    PostgresWriter,
    Writer,
    recorded,
    rows,
    state,
)

WRITERS = 3
TABLE = "users"
ROUGH_ROUNDS = 2
"""So often a message meets faults; what a calm delivery does not store after that belongs in the dead-letter queue."""


class WrongError(AssertionError):
    """A store is not what the model says."""


class Soak:
    """Stores that take one history after the other; their users have ids of their own."""

    def __init__(
        self, connection: psycopg.Connection, writers: dict[str, list[Any]], get: Callable[[str], Any]
    ) -> None:
        self._connection, self._writers, self._get = connection, writers, get
        self._pool = ThreadPoolExecutor(WRITERS)
        self.messages = 0
        self.attempts = 0
        self.users = 0

    def check(self, rng: Random, prefix: str, chunk: int = CHUNK) -> None:
        """Deliver a random history to both stores. Raises ``WrongError`` unless they end as the model does.

        With a small ``chunk``, batches of a few messages too are stored in chunks, each read while others are written.
        What is drawn then depends on who comes first, as each chunk of a batch meets faults of its own.
        """
        messages = history(rng, prefix)
        messages += rng.choices(messages, k=rng.randint(0, 3))  # EventBridge delivers at least once
        user_ids = sorted({claim.user_id for message in messages for claim in message.claims})
        with_history = rng.random() < 0.3
        for name, writers in self._writers.items():
            for writer in writers:
                writer.history, writer.chunk = with_history, chunk
            dead = self._deliver(messages, name, rng)
            refused = [message for message in messages if name in message.refused_by]
            _compare(f"the dead letters of {name}", _bodies(dead), _bodies(refused))
        stored = rows(self._connection, user_ids)
        items = {user_id: state(item) for user_id in user_ids if (item := self._get(user_id))}
        _compare("Postgres", {key: value[0] for key, value in stored.items()}, model(messages, "postgres"))
        _compare("DynamoDB", {key: value[0] for key, value in items.items()}, model(messages, "dynamodb"))
        _compare("DynamoDB's versions", {key: items[key][1] for key in stored}, {k: v[1] for k, v in stored.items()})
        if with_history:
            history_rows = sorted(recorded(self._connection, user_ids), key=str)
            _compare("the history", history_rows, sorted(told(messages, "postgres"), key=str))
        self.users += len(stored)

    def check_total(self) -> None:
        """After all histories: nothing else is in the database. Raises ``WrongError``."""
        [(count,)] = self._connection.execute("SELECT count(*) FROM auth0.users").fetchall()
        _compare("the number of users in Postgres", count, self.users)

    def close(self) -> None:
        self._pool.shutdown()
        for writer in itertools.chain(*self._writers.values()):
            writer.close()

    def _deliver(self, messages: Sequence[Message], store: str, rng: Random) -> list[Message]:
        """Deliver until everything is acknowledged; what never is, is returned."""
        waiting = {f"m{number}": message for number, message in enumerate(messages)}
        for turn in range(ROUGH_ROUNDS + 1):
            attempts = [(batch, self._faults(batch, store, rng, turn)) for batch in _batches(waiting, rng)]
            if turn < ROUGH_ROUNDS and rng.random() < 0.4:
                # The queue hands a batch out again while the first attempt still runs.
                attempts += rng.choices(attempts, k=2)
            acknowledged = self._attempt(attempts, self._writers[store][: rng.randint(1, WRITERS)])
            self.messages += len(waiting)
            self.attempts += len(attempts)
            waiting = {key: message for key, message in waiting.items() if key not in acknowledged}
            if not waiting:
                break
        return list(waiting.values())

    def _attempt(self, attempts: Sequence[Any], writers: Sequence[Writer]) -> set[str]:
        def work(number: int) -> set[str]:
            done: set[str] = set()
            for batch, (faults, answered) in attempts[number :: len(writers)]:
                acknowledged = writers[number].deliver(batch, faults)
                if answered:
                    done |= acknowledged
            return done

        return set().union(*self._pool.map(work, range(len(writers))))

    def _faults(self, batch: dict[str, Message], store: str, rng: Random, turn: int) -> tuple[Any, bool]:
        """What happens to an attempt, and whether its answer arrives (the function may time out once it is done)."""
        if turn == ROUGH_ROUNDS or rng.random() < 0.5:
            return None, True
        answered = rng.random() < 0.7
        if store == "postgres":
            return rng.choices(STATEMENT_FAULTS, k=4), answered
        user_ids = sorted({claim.user_id for message in batch.values() for claim in message.claims})
        return {user_id: rng.choice((None, *PUT_FAULTS)) for user_id in user_ids}, answered


def _batches(waiting: dict[str, Message], rng: Random) -> Iterator[dict[str, Message]]:
    """The messages in any order, cut anywhere."""
    order = list(waiting)
    rng.shuffle(order)
    cuts = sorted({0, len(order), *(rng.randint(0, len(order)) for _ in range(rng.randint(0, 4)))})
    for start, end in itertools.pairwise(cuts):
        yield {key: waiting[key] for key in order[start:end]}


def _bodies(messages: Sequence[Message]) -> list[str]:
    return sorted(message.body for message in messages)


def _compare(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise WrongError(f"{what}: found {found!r}, expected {expected!r}")


@contextmanager
def soak(
    url: str, client: Any = None, table: str = TABLE, sink: Any = PostgresSink, writers: int = WRITERS
) -> Iterator[Soak]:
    """A soak on the migrated database at ``url``, with up to ``writers`` of each store at once.

    DynamoDB is ``client``, or a fake that keeps the condition of a put as it does.
    """
    fake = FakeDynamoDB()

    def get(user_id: str) -> Any:
        if client is None:
            return fake.items.get(table, {}).get(user_id)
        return client.get_item(TableName=table, Key={"user_id": {"S": user_id}}, ConsistentRead=True).get("Item")

    environments: dict[str, list[Any]] = {
        "postgres": [PostgresWriter(url, sink) for _ in range(writers)],
        "dynamodb": [DynamoDBWriter(client or fake, table) for _ in range(writers)],
    }
    with psycopg.connect(url, autocommit=True) as connection:
        running = Soak(connection, environments, get)
        try:
            yield running
        finally:
            running.close()
