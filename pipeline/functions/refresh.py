"""The refresh function: fetch the users that events name but do not carry, and send them to the sinks' queues.

The function fetches each user of a batch once. It defers users that it cannot fetch now, because of Auth0's rate limit,
its own rate, an outage or the end of its time: it sends a copy of the signal, with the time of the first one, back to
the queue with a delay, and acknowledges the message. Failures would soon move the signal to the dead-letter queue. Only
past ``REFRESH_MAX_AGE`` does the message fail.

A user that is too large for a sink's queue goes straight to the sink's function.
"""

import math
import os
import time
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from pipeline.auth0 import envelope, settings
from pipeline.auth0.api import Fetched, Gone, ManagementApi
from pipeline.auth0.credentials import credentials
from pipeline.auth0.envelope import Deferred
from pipeline.auth0.errors import Auth0Down, CredentialsRefused, GivenUp, Later
from pipeline.auth0.fetcher import Fetcher
from pipeline.auth0.signals import Signals, collect, failures
from pipeline.delivery.function import Function
from pipeline.delivery.queue import BATCH_MESSAGES, LONGEST_DELAY, Queue
from pipeline.errors import Auth0SyncError, Poison, Retry
from pipeline.functions import Context
from pipeline.telemetry import emit, error_fields, failure_fields, logger, pseudonym

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient

RESERVE = 5.0
"""Seconds kept at the end of the function's time for sending the fetched and the deferred users."""
DOWN_AFTER = 2
"""Users in a row without an answer from Auth0 after which the function defers the rest of the batch."""
LARGE = 200_000
"""Characters from which a message is sent at once: if a queue refuses it, invoking the function takes time."""
FUNCTION_SECONDS = 20
"""Seconds to wait for a sink's function: a paused database takes 15. A slower function goes on by itself, and a later
try finds the user stored."""


@cache
def fetcher() -> Fetcher:
    """Return the execution environment's one fetcher, which keeps the token, the connections and the rate."""
    auth0 = settings.Auth0.from_env()
    return Fetcher(ManagementApi(auth0, credentials(auth0)), settings.Refresh.from_env().rate)


@cache
def sqs() -> "SQSClient":
    """Return the execution environment's one SQS client."""
    import boto3
    from botocore.config import Config

    retries: Any = {"mode": "standard", "total_max_attempts": 3}
    return boto3.client("sqs", config=Config(retries=retries, connect_timeout=2, read_timeout=5))


def functions(seconds: float) -> "LambdaClient":
    """Return a client that waits ``seconds`` for an answer, for one of the few users that are too large for a queue."""
    import boto3
    from botocore.config import Config

    retries: Any = {"total_max_attempts": 1}
    return boto3.client("lambda", config=Config(retries=retries, connect_timeout=2, read_timeout=seconds))


def handler(event: dict[str, Any], context: Context) -> dict[str, list[dict[str, str]]]:
    """Fetch the users of a batch, and return the messages that SQS must deliver again.

    Raises ``CredentialsRefused`` if Auth0 refuses the credentials, so that Lambda backs off and counts an error.
    """
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE
    signals = collect(event["Records"])
    run = Run(signals, settings.Refresh.from_env(), sqs())
    try:
        run.fetch_all(fetcher(), deadline)
    except CredentialsRefused as error:
        fetcher.cache_clear()  # the secret may have been rotated: the next delivery reads it again
        logger.error("batch not fetched", extra={"messages": signals.received, **error_fields(error)})
        raise
    run.defer()
    given_back = failures(signals, run.failed)
    for failure in given_back:
        logger.error("message not refreshed", extra=failure_fields(failure))
    _count(run, len(given_back))
    return {"batchItemFailures": [{"itemIdentifier": failure.message_id} for failure in given_back]}


class Run:
    """One batch: every user in it ends in exactly one of ``refreshed``, ``gone``, ``later`` and ``failed``."""

    def __init__(self, signals: Signals, refresh: settings.Refresh, client: "SQSClient") -> None:
        self.signals = signals
        self._settings = refresh
        self._sqs = client
        self._unsent: list[tuple[str, str]] = []  # user id and message
        self._sinks: list[Queue] = []
        self.oversized: set[str] = set()
        """Users that are too large for a queue, whatever their outcome."""
        self.refreshed: set[str] = set()
        self.gone: set[str] = set()
        self.later: dict[str, Later] = {}
        self.failed: dict[str, Auth0SyncError] = {}

    def fetch_all(self, users: Fetcher, deadline: float) -> None:
        """Fetch the users in turn, and send each full batch of messages at once."""
        down = 0
        self._sinks = self._open_sinks(deadline + RESERVE)
        stopped: Later | None = None
        for user_id in self.signals.users:
            if stopped is not None:
                self.later[user_id] = stopped
                continue
            try:
                answer = users.fetch(user_id, deadline)
            except Auth0Down as error:
                self.later[user_id] = error
                down += 1
                if down == DOWN_AFTER:
                    stopped = error
            except Later as error:
                self.later[user_id] = stopped = error
            except Poison as error:
                self.failed[user_id] = error
            else:
                down = 0
                self._add(user_id, answer)
        self._send()

    def _add(self, user_id: str, answer: Fetched | Gone) -> None:
        if isinstance(answer, Gone):
            self.gone.add(user_id)
            self._unsent.append((user_id, envelope.deleted(user_id, answer.asked_at)))
        else:
            self.refreshed.add(user_id)
            self._unsent.append((user_id, envelope.updated(answer.body, answer.asked_at)))
            if user_id in answer.linked:
                self._unsent.append((user_id, envelope.deleted(user_id, answer.asked_at)))
        # A message that a queue may refuse is sent while there is time to invoke a function instead.
        if len(self._unsent) >= BATCH_MESSAGES or len(self._unsent[-1][1]) >= LARGE:
            self._send()

    def _open_sinks(self, deadline: float) -> list[Queue]:
        """Return the queues of the sinks with their functions, which have to answer before ``deadline``."""

        def function(name: str | None) -> Function | None:
            return Function(name, functions, seconds=FUNCTION_SECONDS, deadline=deadline) if name else None

        urls, names = self._settings.sink_queue_urls, self._settings.sink_functions
        return [Queue(self._sqs, url, function(name)) for url, name in zip_longest(urls, names)]

    def _send(self) -> None:
        bodies = [body for _, body in self._unsent]
        for queue, function in zip_longest(self._sinks, self._settings.sink_functions):
            failed, invoked = queue.send(bodies)
            for position in invoked:
                user_id, body = self._unsent[position]
                self.oversized.add(user_id)
                _log_invocation(user_id, body, function, failed.get(position))
            for position, error in failed.items():
                self._fail(self._unsent[position][0], error)
        self._unsent.clear()

    def defer(self) -> None:
        """Send the signals of the users in ``later`` back to the queue, or fail those that are too old for that."""
        now = time.time()
        waiting: list[str] = []
        bodies: list[str] = []
        delays: list[int] = []
        for user_id, error in self.later.items():
            deferred = self.signals.users[user_id].deferred
            if now - deferred.first_seen / 1000 > self._settings.max_age:
                self.failed[user_id] = GivenUp(str(error))
                continue
            # Spread their delays: if all came back at once they would exceed the rate again.
            wait = max(error.wait, error.backoff * 2 ** min(deferred.times, 10)) + len(waiting) / self._settings.rate
            waiting.append(user_id)
            bodies.append(envelope.signal(user_id, Deferred(deferred.first_seen, deferred.times + 1)))
            delays.append(min(math.ceil(wait), LONGEST_DELAY))
        for position, refusal in Queue(self._sqs, self._settings.queue_url).send(bodies, delays).failed.items():
            self._fail(waiting[position], refusal)
        for user_id in self.failed:
            self.later.pop(user_id, None)

    def _fail(self, user_id: str, error: Auth0SyncError) -> None:
        self.refreshed.discard(user_id)
        self.gone.discard(user_id)
        if not isinstance(self.failed.get(user_id), Retry):  # a temporary error takes precedence over a permanent one
            self.failed[user_id] = error


def _log_invocation(user_id: str, body: str, function: str, error: Auth0SyncError | None) -> None:
    why = {} if error is None else error_fields(error)
    logger.warning(
        "user too large for the queue",
        extra={"user": pseudonym(user_id), "bytes": len(body.encode()), "function": function, **why},
    )


def _count(run: Run, given_back: int) -> None:
    signals: Signals = run.signals
    counts = {
        "Refreshed": len(run.refreshed),
        "Gone": len(run.gone),
        "Deferred": len(run.later),
        "Coalesced": signals.coalesced,
        "Failed": given_back,
        "Oversized": len(run.oversized),
        "Ignored": signals.ignored,
    }
    reasons: dict[str, int] = {}
    for error in run.later.values():
        reasons[error.reason] = reasons.get(error.reason, 0) + 1
    logger.info(
        "batch",
        extra={
            "received": signals.received,
            **{name.lower(): number for name, number in counts.items()},
            "signals_by": signals.causes,
            "deferred_by": reasons,
        },
    )
    emit(("function", "refresh"), counts, _age(signals))


def _age(signals: Signals) -> dict[str, float]:
    """Return the longest wait of a user in the batch, deferred users included, as a metric."""
    if not signals.users:
        return {}
    oldest = min(wanted.deferred.first_seen for wanted in signals.users.values())
    return {"SignalAge": max(0.0, time.time() * 1000 - oldest)}


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    sqs()  # load its library while the function starts: Lambda then gives it a whole CPU
