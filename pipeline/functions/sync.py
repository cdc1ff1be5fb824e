"""The sync function: an SQS batch of Auth0 events into the store that ``SINK`` names."""

import os
from functools import cache
from typing import Any

from msgspec.structs import asdict

from pipeline import settings
from pipeline.batch import Failure, collect, settle
from pipeline.errors import Retry, SyncError
from pipeline.sinks import Sink
from pipeline.telemetry import count, logger, pseudonym


@cache
def sink() -> Sink:
    """The store of this function, made once per execution environment; it keeps its connections."""
    if settings.sink() == "postgres":
        from pipeline.sinks.postgres import PostgresSink, connect

        database = settings.Database.from_env()
        return PostgresSink(lambda: connect(database))

    import boto3
    from botocore.config import Config

    from pipeline.sinks.dynamodb import THREADS, DynamoDBSink

    retries: Any = {"mode": "standard", "total_max_attempts": 4}
    config = Config(max_pool_connections=THREADS, retries=retries, connect_timeout=2, read_timeout=5)
    return DynamoDBSink(boto3.client("dynamodb", config=config), settings.users_table())


def handler(event: dict[str, Any], context: object) -> dict[str, list[dict[str, str]]]:  # noqa: ARG001 - Lambda's form
    """Store a batch; the answer names the messages that SQS must deliver again (a partial batch response).

    Raises ``pipeline.errors.Retry`` where the store took nothing, so that Lambda backs off and counts an error.
    """
    name = settings.sink()
    history = name == "postgres" and settings.history()
    batch = collect(event["Records"], history=history)
    try:
        outcome = sink().apply(batch.changes, batch.history) if history else sink().apply(batch.changes)
    except Retry as error:
        logger.error("batch not stored", extra={"sink": name, "messages": batch.received, **_why(error)})
        raise
    failures, counts = settle(batch, outcome)
    for failure in failures:
        logger.error("message not stored", extra=_message(failure))
    logger.info(
        "batch", extra={"sink": name, **asdict(counts), "ignored_by": batch.ignored, "signals_by": batch.signals}
    )
    count(name, counts)
    failed = dict.fromkeys(failure.message_id for failure in failures)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _why(error: SyncError) -> dict[str, str]:
    return {"reason": error.reason, "detail": str(error)}


def _message(failure: Failure) -> dict[str, str]:
    user = {} if failure.user_id is None else {"user": pseudonym(failure.user_id)}
    return {"message_id": failure.message_id, **_why(failure.error), **user}


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    sink()  # load the store's libraries while the function starts, where Lambda lends a whole CPU
