"""The refresh function: fetch the users that events name but do not carry, and send them to the sinks' queues.

The function fetches each user of a batch once. It defers users that it cannot fetch now, because of Auth0's rate limit,
its own rate, an outage or the end of its turn: it sends a copy of the signal, with the time of the first one, back to
the queue with a delay, and acknowledges the message. Failures would soon move the signal to the dead-letter queue. Only
past ``REFRESH_MAX_AGE`` does the message fail.

A user that is too large for a sink's queue goes straight to the sink's function.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from pipeline.auth0 import envelope, settings
from pipeline.auth0.api import Fetched, Gone, ManagementApi
from pipeline.auth0.credentials import credentials, from_secrets_manager
from pipeline.auth0.deletions import EXPECTED, Deletions
from pipeline.auth0.envelope import Deferred
from pipeline.auth0.errors import Auth0Down, CredentialsRefused, GivenUp, Later, NobodyKnown, OutOfTime
from pipeline.auth0.fetcher import Fetcher
from pipeline.auth0.signals import Signals, collect, failures, in_turn
from pipeline.delivery.function import Function
from pipeline.delivery.queue import BATCH_MESSAGES, LONGEST_DELAY, Queue
from pipeline.errors import Auth0SyncError, Poison, Retry
from pipeline.functions import Context, aws_client, aws_session
from pipeline.pseudonym import pseudonym
from pipeline.telemetry import emit, error_fields, failure_fields, logger

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient

RESERVE = 5.0
"""Seconds kept at the end of the function's time for sending the fetched and the deferred users."""
TURN = 10.0
"""Seconds of one batch for fetching; it defers the rest. So a long queue passes through the function within minutes,
and each cause of signals gets its turn, however many there are of another."""
DOWN_AFTER = 2
"""Users in a row without an answer from Auth0 after which the function defers the rest of the batch."""
LARGE = 200_000
"""Characters from which a message is sent at once: if a queue refuses it, invoking the function takes time."""
FUNCTION_SECONDS = 20
"""Seconds to wait for a sink's function: a paused database takes 15. A slower function goes on by itself, and a later
try finds the user stored."""
REMEMBERED = 10_000
"""Users whose last fetch an execution environment remembers."""
LEEWAY = 5.0
"""Seconds by which a fetch must be later than a signal to have seen its change."""

Answer = dict[str, list[dict[str, str]]]
"""A partial batch response: the messages that SQS must deliver again."""


class Refresh:
    """Fetch the users that the signals of one queue name, and send them to the queues of the sinks.

    It lives as long as the execution environment: it keeps token, connections, rate, and times of its requests.
    """

    def __init__(
        self,
        config: settings.Refresh,
        connect: Callable[[], Fetcher],
        sqs: "SQSClient",
        functions: "Callable[[float], LambdaClient]",
        *,
        tenant: str = "",
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        log: logging.Logger = logger,
    ) -> None:
        """``connect`` reads the credentials; ``functions`` makes a client with a timeout in seconds.

        ``tenant`` is the name of the refresh's tenant, if known: see ``pipeline.auth0.signals.collect``.
        """
        self.config = config
        self.sqs = sqs
        self.functions = functions
        self.clock, self.monotonic, self.sleep = clock, monotonic, sleep
        self.log = log
        self.deletions = Deletions()
        self.fetched_at: dict[str, float] = {}
        """User id to the Unix time of the last request for the user, of those in the sinks' queues."""
        self._connect = connect
        self._tenant = tenant
        self._users: Fetcher | None = None

    def __call__(self, records: Sequence[Mapping[str, Any]], deadline: float) -> Answer:
        """Fetch the users of a batch of SQS records before ``deadline``, by the monotonic clock.

        Raises ``CredentialsRefused`` if Auth0 refuses the credentials, so that Lambda backs off and counts an error.
        """
        signals = collect(records, self._tenant)
        run = Run(signals, self)
        try:
            if self._users is None:
                self._users = self._connect()
            run.fetch_all(self._users, deadline)
        except CredentialsRefused as error:
            self._users = None  # the secret may have been rotated: the next delivery reads it again
            self.log.error("batch not fetched", extra={"messages": signals.received, **error_fields(error)})
            raise
        run.defer()
        self._remember(run)
        given_back = failures(signals, run.failed)
        for failure in given_back:
            self.log.error("message not refreshed", extra=failure_fields(failure))
        run.count(len(given_back))
        return {"batchItemFailures": [{"itemIdentifier": failure.message_id} for failure in given_back]}

    def has_seen(self, user_id: str, sent_at: int) -> bool:
        """Return whether the last fetch of a user was later than a signal that was sent then, in milliseconds."""
        return self.fetched_at.get(user_id, 0) - LEEWAY > sent_at / 1000

    def _remember(self, run: "Run") -> None:
        for user_id in run.refreshed | run.gone:
            self.fetched_at.pop(user_id, None)  # to the end of the order
            self.fetched_at[user_id] = run.asked_at[user_id]
        while len(self.fetched_at) > REMEMBERED:
            del self.fetched_at[next(iter(self.fetched_at))]


@cache
def refresh() -> Refresh:
    """Return the execution environment's one ``Refresh``, made by its settings."""
    config, auth0 = settings.Refresh.from_env(), settings.Auth0.from_env()
    sqs = aws_client("sqs", attempts=3, connect=2, read=5)
    read = partial(from_secrets_manager, session=aws_session())  # which has read AWS's endpoints already
    return Refresh(
        config,
        lambda: Fetcher(ManagementApi(auth0, credentials(auth0, read)), config.rate),
        sqs,
        _functions,
        tenant=auth0.tenant,
    )


def _functions(seconds: float) -> "LambdaClient":
    """Return a client that waits ``seconds`` for an answer: SQS repeats the message, so the client must not."""
    client: LambdaClient = aws_client("lambda", attempts=1, connect=2, read=seconds)
    return client


def handler(event: dict[str, Any], context: Context) -> Answer:
    """Fetch the users of a batch; see ``Refresh``."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - RESERVE
    return refresh()(event["Records"], deadline)


class Run:
    """One batch: every user ends in exactly one of ``seen``, ``refreshed``, ``gone``, ``later`` and ``failed``."""

    def __init__(self, signals: Signals, refresh: Refresh) -> None:
        self.signals = signals
        self._refresh = refresh
        self._unsent: list[tuple[str, str]] = []  # user id and message
        self._sinks: list[Queue] = []
        self._doubtful: dict[str, Gone] = {}
        self.asked_at: dict[str, float] = {}
        """User id to the Unix time of the request."""
        self.oversized: set[str] = set()
        """Users that are too large for a queue, whatever their outcome."""
        self.seen: set[str] = set()
        """Users that were fetched after their signals had been sent."""
        self.refreshed: set[str] = set()
        self.gone: set[str] = set()
        self.later: dict[str, Later] = {}
        self.failed: dict[str, Auth0SyncError] = {}

    def fetch_all(self, users: Fetcher, deadline: float) -> None:
        """Fetch the users in turn, and send each full batch of messages at once."""
        down = 0
        self._sinks = self._open_sinks(deadline + RESERVE)
        stopped: Later | None = None
        ends = self._refresh.monotonic() + TURN
        for user_id in in_turn(self.signals.users):
            if self._refresh.has_seen(user_id, self.signals.users[user_id].sent_at):
                self.seen.add(user_id)
                continue
            if stopped is None and self._refresh.monotonic() > ends:
                stopped = OutOfTime()
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
        self._judge()
        self._send()

    def _add(self, user_id: str, answer: Fetched | Gone) -> None:
        self.asked_at[user_id] = answer.asked_at.timestamp()
        if isinstance(answer, Fetched):
            self._refresh.deletions.found()
            self.refreshed.add(user_id)
            self._unsent.append((user_id, envelope.updated(answer.body, answer.asked_at)))
            if user_id in answer.linked:
                self._unsent.append((user_id, envelope.deleted(user_id, answer.asked_at)))
        elif EXPECTED in self.signals.users[user_id].deferred.causes:
            self._delete(user_id, answer)
        else:
            self._doubtful[user_id] = answer
        # A message that a queue may refuse is sent while there is time to invoke a function instead.
        if len(self._unsent) >= BATCH_MESSAGES or (self._unsent and len(self._unsent[-1][1]) >= LARGE):
            self._send()

    def _judge(self) -> None:
        """Delete the users that Auth0 does not know, unless Auth0 may be the wrong tenant."""
        believed = self._refresh.deletions.are_believed(len(self._doubtful))
        for user_id, answer in self._doubtful.items():
            if believed:
                self._delete(user_id, answer)
            else:
                self.later[user_id] = NobodyKnown()

    def _delete(self, user_id: str, answer: Gone) -> None:
        self.gone.add(user_id)
        self._unsent.append((user_id, envelope.deleted(user_id, answer.asked_at)))

    def _open_sinks(self, deadline: float) -> list[Queue]:
        """Return the queues of the sinks with their functions, which have to answer before ``deadline``."""
        invoke, config, sleep = self._refresh.functions, self._refresh.config, self._refresh.sleep

        def function(name: str | None) -> Function | None:
            return Function(name, invoke, seconds=FUNCTION_SECONDS, deadline=deadline) if name else None

        urls, names = config.sink_queue_urls, config.sink_functions
        return [Queue(self._refresh.sqs, url, function(name), sleep=sleep) for url, name in zip_longest(urls, names)]

    def _send(self) -> None:
        bodies = [body for _, body in self._unsent]
        for queue, function in zip_longest(self._sinks, self._refresh.config.sink_functions):
            failed, invoked = queue.send(bodies)
            for position in invoked:
                user_id, body = self._unsent[position]
                self.oversized.add(user_id)
                self._log_invocation(user_id, body, function, failed.get(position))
            for position, error in failed.items():
                self._fail(self._unsent[position][0], error)
        self._unsent.clear()

    def defer(self) -> None:
        """Send the signals of the users in ``later`` back to the queue, or fail those that are too old for that."""
        config, now = self._refresh.config, self._refresh.clock()
        waiting: list[str] = []
        bodies: list[str] = []
        delays: list[int] = []
        for user_id, error in self.later.items():
            deferred = self.signals.users[user_id].deferred
            if now - deferred.first_seen / 1000 > config.max_age:
                self.failed[user_id] = GivenUp(str(error))
                continue
            # Spread their delays: if all came back at once they would exceed the rate again.
            wait = max(error.wait, error.backoff * 2 ** min(deferred.times, 10)) + len(waiting) / config.rate
            waiting.append(user_id)
            bodies.append(envelope.signal(user_id, Deferred(deferred.first_seen, deferred.times + 1, deferred.causes)))
            delays.append(min(math.ceil(wait), LONGEST_DELAY))
        queue = Queue(self._refresh.sqs, config.queue_url, sleep=self._refresh.sleep)
        for position, refusal in queue.send(bodies, delays).failed.items():
            self._fail(waiting[position], refusal)
        for user_id in self.failed:
            self.later.pop(user_id, None)

    def _fail(self, user_id: str, error: Auth0SyncError) -> None:
        self.refreshed.discard(user_id)
        self.gone.discard(user_id)
        if not isinstance(self.failed.get(user_id), Retry):  # a temporary error takes precedence over a permanent one
            self.failed[user_id] = error

    def _log_invocation(self, user_id: str, body: str, function: str, error: Auth0SyncError | None) -> None:
        why = {} if error is None else error_fields(error)
        self._refresh.log.warning(
            "user too large for the queue",
            extra={"user": pseudonym(user_id), "bytes": len(body.encode()), "function": function, **why},
        )

    def count(self, given_back: int) -> None:
        """Log and send the counts of the batch, of whose messages ``given_back`` failed."""
        signals = self.signals
        counts = {
            "Refreshed": len(self.refreshed),
            "Gone": len(self.gone),
            "Doubted": sum(isinstance(error, NobodyKnown) for error in self.later.values()),
            "Deferred": len(self.later),
            "Coalesced": signals.coalesced + len(self.seen),
            "Failed": given_back,
            "Oversized": len(self.oversized),
            "Ignored": signals.ignored,
        }
        reasons: dict[str, int] = {}
        for error in self.later.values():
            reasons[error.reason] = reasons.get(error.reason, 0) + 1
        self._refresh.log.info(
            "batch",
            extra={
                "received": signals.received,
                **{name.lower(): number for name, number in counts.items()},
                "signals_by": signals.causes,
                "deferred_by": reasons,
            },
        )
        emit(("function", "refresh"), counts, self._age())

    def _age(self) -> dict[str, float]:
        """Return the longest wait of a user in the batch, deferred users included, as a metric."""
        if not self.signals.users:
            return {}
        oldest = min(wanted.deferred.first_seen for wanted in self.signals.users.values())
        return {"SignalAge": max(0.0, self._refresh.clock() * 1000 - oldest)}


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    refresh()  # load its libraries while the function starts: Lambda then gives it a whole CPU
