"""The watch function: ask the archive questions on a schedule, and send new findings to a topic.

One run at a time sends findings, and remembers each after sending it. If a run ends in between, the next run sends the
finding again; none is lost.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from botocore.exceptions import ClientError

from pipeline.archive import findings, questions
from pipeline.archive.findings import Finding
from pipeline.archive.questions import Question
from pipeline.errors import Auth0SyncError, BadSettings
from pipeline.functions import Context, aws_client
from pipeline.settings import Watch
from pipeline.telemetry import emit, logger

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient
    from mypy_boto3_dynamodb import DynamoDBClient

LIMIT = 1000
"""Rows of an answer, unless the question's parameters set another limit."""
MEMORY = 30
"""Days beyond the window for which to remember a finding, so that the watch does not send it again."""
RESERVE = 15.0
"""Seconds kept at the end of the function's time for sending and remembering."""
LEASE = "lease"
"""Key of the lock item that the current run holds."""
BATCH = 100
"""Keys that DynamoDB reads at once."""


class QuestionsFailed(Auth0SyncError):
    """Some questions failed, or their findings could not be sent; the next run asks them again."""


class LimitReached(Auth0SyncError):
    """The answer has as many rows as its limit, so there may be more. Raise the question's limit or its minimum."""


@dataclass(frozen=True, slots=True)
class Clients:
    """The services that a run calls."""

    athena: "AthenaClient"
    dynamodb: "DynamoDBClient"
    sns: Any


@cache
def clients() -> Clients:
    """Return the execution environment's one set of clients."""
    options: Any = {"attempts": 3, "connect": 5, "read": 10}
    return Clients(aws_client("athena", **options), aws_client("dynamodb", **options), aws_client("sns", **options))


def handler(event: dict[str, Any], context: Context) -> dict[str, int]:  # noqa: ARG001 - Lambda's form
    """Ask every question; return the number of new findings by question, nothing during another run.

    Raises ``QuestionsFailed`` after the last question if any failed, so that Lambda counts an error and retries.
    """
    settings = Watch.from_env()
    run = Run(settings, load(settings), clients())
    with _alone(run.clients.dynamodb, settings.memory_table, context) as alone:
        if not alone:
            logger.info("another run is under way")
            return {}
        run.ask_all(context)
    count(run)
    logger.info("watched", extra={"told": run.told, "failed": run.failed})
    if run.failed:
        raise QuestionsFailed(", ".join(run.failed))
    return run.told


def load(settings: Watch) -> list[Question]:
    """Return the questions to ask.

    Raises BadSettings if a question does not exist, cannot be watched, or lacks a parameter.
    """
    found = []
    for name, given in settings.questions.items():
        try:
            question = questions.load(name)
            question.values(question.parse(given))
        except ValueError as error:
            raise BadSettings(str(error)) from None
        if not question.finding:
            raise BadSettings(f"{name} cannot be watched: it has no rows that are findings")
        if "since" in given:
            raise BadSettings(f"{name}: since follows from the window of the watch")
        found.append(question)
    return found


@dataclass(slots=True)
class Run:
    """One run. Each question ends in `told` or `failed`; in both if only some of its findings were sent."""

    settings: Watch
    questions: Sequence[Question]
    clients: Clients
    told: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """Question to the name of its error, which holds no data of findings."""

    def ask_all(self, context: Context) -> None:
        """Ask the questions in turn; each may take its part of the time that is left."""
        for number, question in enumerate(self.questions):
            left = context.get_remaining_time_in_millis() / 1000 - RESERVE
            try:
                self._ask(question, max(1.0, left / (len(self.questions) - number)))
            except Exception as error:  # noqa: BLE001 - whatever it is, the others are asked
                self.failed[question.name] = _reason(error)
                logger.error("question failed", extra={"question": question.name, "reason": _reason(error)})

    def _ask(self, question: Question, timeout: float) -> None:
        now = datetime.now(UTC)
        first = _first_day(now, self.settings.window_days)
        since = _first_day(now, max(self.settings.window_days, question.looks_back))
        parameters = {"limit": LIMIT} | question.parse(self.settings.questions[question.name]) | {"since": since}
        database, workgroup = self.settings.database, self.settings.workgroup
        answer = questions.ask(
            self.clients.athena, question.name, parameters, database=database, workgroup=workgroup, timeout=timeout
        )
        # Rows from before the window are for comparison only.
        rows = [row for row in answer.dicts() if not question.looks_back or row["dt"] >= first]
        found = findings.collect(question, rows)
        known = self._remembered([finding.key for finding in found], now)
        new = [finding for finding in found if finding.key not in known]
        if new:
            self._tell(question, new, since)
            self._remember(new, now)
        self.told[question.name] = len(new)
        if len(rows) == parameters["limit"]:
            raise LimitReached

    def _tell(self, question: Question, new: list[Finding], since: str) -> None:
        further = findings.command(self.settings.env, question, self.settings.questions[question.name], since)
        self.clients.sns.publish(
            TopicArn=self.settings.topic_arn,
            Subject=findings.subject(self.settings.deployment, question, len(new)),
            Message=findings.message(question, new, further),
        )

    def _remember(self, new: list[Finding], now: datetime) -> None:
        expires = int((now + timedelta(days=self.settings.window_days + MEMORY)).timestamp())
        for finding in new:
            item: Any = {"finding": {"S": finding.key}, "expires_at": {"N": str(expires)}}
            self.clients.dynamodb.put_item(TableName=self.settings.memory_table, Item=item)

    def _remembered(self, keys: list[str], now: datetime) -> set[str]:
        """Return the keys that are remembered and not expired; DynamoDB deletes expired items days later."""
        table, found = self.settings.memory_table, set()
        for start in range(0, len(keys), BATCH):
            wanted: Any = {table: {"Keys": [{"finding": {"S": key}} for key in keys[start : start + BATCH]]}}
            wanted[table]["ConsistentRead"] = True
            while wanted:
                answer = self.clients.dynamodb.batch_get_item(RequestItems=wanted)
                items = answer["Responses"].get(table, [])
                found |= {item["finding"]["S"] for item in items if int(item["expires_at"]["N"]) > now.timestamp()}
                wanted = answer.get("UnprocessedKeys")
        return found


def count(run: Run) -> None:
    """Send the metrics of a run."""
    counts = {"QuestionsAsked": len(run.questions), "QuestionsFailed": len(run.failed)}
    emit(("function", "watch"), counts | {"FindingsTold": sum(run.told.values())}, {})


@contextmanager
def _alone(client: "DynamoDBClient", table: str, context: Context) -> Iterator[bool]:
    """Hold the lease, and yield whether this run got it. It expires after Lambda has ended its holder."""
    now, holder = datetime.now(UTC).timestamp(), uuid4().hex
    ends = int(now + context.get_remaining_time_in_millis() / 1000) + 1
    key: Any = {"finding": {"S": LEASE}}
    try:
        client.put_item(
            TableName=table,
            Item=key | {"holder": {"S": holder}, "expires_at": {"N": str(ends)}},
            ConditionExpression="attribute_not_exists(finding) OR expires_at < :now",
            ExpressionAttributeValues={":now": {"N": str(int(now))}},
        )
    except client.exceptions.ConditionalCheckFailedException:
        yield False
        return
    try:
        yield True
    finally:
        client.delete_item(
            TableName=table,
            Key=key,
            ConditionExpression="holder = :me",
            ExpressionAttributeValues={":me": {"S": holder}},
        )


def _first_day(now: datetime, days: int) -> str:
    """Return the first of so many days, today included, as the archive writes it."""
    return (now.date() - timedelta(days=days - 1)).isoformat()


def _reason(error: Exception) -> str:
    if isinstance(error, ClientError):
        return str(error.response["Error"]["Code"])
    return error.reason if isinstance(error, Auth0SyncError) else type(error).__name__


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    clients()  # load their library while the function starts: Lambda then gives it a whole CPU
