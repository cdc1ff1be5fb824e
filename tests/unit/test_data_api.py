"""The Data API's answers as Python values, and its errors with a remedy."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import ANY, Stubber

from pipeline import data_api
from pipeline.data_api import Transaction
from pipeline.errors import BadSettings
from pipeline.settings import Cluster

CLUSTER = Cluster("arn:aws:rds:eu-central-1:1:cluster:c", "arn:aws:secretsmanager:eu-central-1:1:secret:s", "auth0")


@pytest.fixture
def client() -> Any:
    return boto3.client(
        "rds-data",
        region_name="eu-central-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def stub(client: Any) -> Iterator[Stubber]:
    with Stubber(client) as found:
        target = {"resourceArn": CLUSTER.arn, "secretArn": CLUSTER.secret_arn}
        found.add_response("begin_transaction", {"transactionId": "t"}, target | {"database": "auth0"})
        yield found
        found.assert_no_pending_responses()


def answer_of(client: Any, stub: Stubber, **columns: Any) -> Any:
    """Return the row that a record becomes, of columns as ``name=(type, field)``."""
    stub.add_response(
        "execute_statement",
        {
            "columnMetadata": [{"label": name, "typeName": kind} for name, (kind, _) in columns.items()],
            "records": [[field for _, field in columns.values()]],
        },
        {
            **dict.fromkeys(("resourceArn", "secretArn"), ANY),
            "transactionId": "t",
            "sql": "…",
            "includeResultMetadata": True,
        },
    )
    answer = Transaction(client, CLUSTER).execute("…")
    assert answer.columns == tuple(columns)
    [row] = answer.rows
    return row


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("text", {"isNull": True}, None),
        ("bool", {"booleanValue": False}, False),
        ("int8", {"longValue": 2**62}, 2**62),
        ("float8", {"doubleValue": 0.1}, 0.1),
        ("text", {"stringValue": "1"}, "1"),
        ("text", {"stringValue": ""}, ""),
        ("uuid", {"stringValue": "0b0c7a5e-0000-4000-8000-000000000000"}, "0b0c7a5e-0000-4000-8000-000000000000"),
        ("jsonb", {"stringValue": '{"plan": ["pro", null, 1.5]}'}, {"plan": ["pro", None, 1.5]}),
        ("json", {"stringValue": "null"}, None),
        ("jsonb", {"stringValue": "9" * 5000}, "9" * 5000),
        ("json", {"stringValue": "[" * 5000 + "]" * 5000}, "[" * 5000 + "]" * 5000),
        ("numeric", {"stringValue": "9" * 5000}, Decimal("9" * 5000)),
        ("timestamptz", {"stringValue": "20000-01-15 09:00:00"}, "20000-01-15 09:00:00"),
        ("date", {"stringValue": "0044-03-15 BC"}, "0044-03-15 BC"),
        ("numeric", {"stringValue": "12345678901234567890.10"}, Decimal("12345678901234567890.10")),
        ("date", {"stringValue": "2026-01-15"}, date(2026, 1, 15)),
        ("date", {"stringValue": "infinity"}, "infinity"),
        ("timestamp", {"stringValue": "2026-01-15 09:00:00.5"}, datetime(2026, 1, 15, 9, 0, 0, 500000)),  # noqa: DTZ001 - the type has no zone
        ("timestamptz", {"stringValue": "2026-01-15 09:00:00"}, datetime(2026, 1, 15, 9, tzinfo=UTC)),
        ("timestamptz", {"stringValue": "2026-01-15 10:00:00+01"}, datetime(2026, 1, 15, 9, tzinfo=UTC)),
        ("timestamptz", {"stringValue": "infinity"}, "infinity"),
        ("bytea", {"blobValue": b"\x00\xff"}, r"\x00ff"),
        ("_text", {"arrayValue": {"stringValues": ["a", "b"]}}, ["a", "b"]),
        ("_int4", {"arrayValue": {"longValues": [1]}}, [1]),
        ("_jsonb", {"arrayValue": {"stringValues": ['{"a": 1}']}}, [{"a": 1}]),
        ("_int4", {"arrayValue": {"arrayValues": [{"longValues": [1]}, {"longValues": [2]}]}}, [[1], [2]]),
        ("_text", {"arrayValue": {"stringValues": []}}, []),
    ],
)
def test_values(client: Any, stub: Stubber, kind: str, field: dict[str, Any], value: Any) -> None:
    assert answer_of(client, stub, one=(kind, field), two=("int4", {"longValue": 1})) == (value, 1)


def test_a_statement_without_an_answer(client: Any, stub: Stubber) -> None:
    stub.add_response("execute_statement", {"numberOfRecordsUpdated": 0})
    answer = Transaction(client, CLUSTER).execute("SET LOCAL ROLE x")
    assert (answer.columns, answer.rows) == ((), [])


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("DatabaseResumingException", "resuming", data_api.Unavailable),
        ("ThrottlingException", "slow down", data_api.Unavailable),
        ("StatementTimeoutException", "Request timed out", data_api.TimedOut),
        (
            "DatabaseErrorException",
            "ERROR: canceling statement due to user request; SQLState: 57014",
            data_api.TimedOut,
        ),
        ("DatabaseErrorException", "ERROR: terminating connection; SQLState: 57P01", data_api.Unavailable),
        ("AccessDeniedException", "User is not authorized", data_api.NotAllowed),
        ("SecretsErrorException", "Access denied to the secret", data_api.NotAllowed),
        ("BadRequestException", "User: u is not authorized to perform: kms:Decrypt", data_api.NotAllowed),
        ("BadRequestException", "Access to KMS is not allowed", data_api.NotAllowed),
        ("BadRequestException", "Bad request", data_api.Refused),
        ("DatabaseErrorException", "ERROR: relation kms; SQLState: 42P01", data_api.Refused),
        ("BadRequestException", "Database returned more than the allowed response size limit", data_api.TooLarge),
        ("UnsupportedResultException", "The result contains the unsupported data type OTHER", data_api.NotShown),
        ("DatabaseErrorException", "ERROR: no such table; SQLState: 42P01", data_api.Refused),
        ("SomethingNew", "what", data_api.DataApiError),
    ],
)
def test_errors(client: Any, stub: Stubber, code: str, message: str, kind: type[Exception]) -> None:
    stub.add_client_error("execute_statement", code, message)
    with pytest.raises(data_api.DataApiError, match=message.split(";")[0]) as raised:
        Transaction(client, CLUSTER).execute("…")
    assert type(raised.value) is kind


def test_rollback_keeps_the_original_error(client: Any, stub: Stubber) -> None:
    stub.add_client_error("execute_statement", "DatabaseErrorException", "ERROR: first; SQLState: 42P01")
    stub.add_client_error("rollback_transaction", "TransactionNotFoundException", "second")
    with pytest.raises(data_api.Refused, match="first"), Transaction(client, CLUSTER) as transaction:
        transaction.execute("…")


def test_a_failed_commit_is_an_error(client: Any, stub: Stubber) -> None:
    stub.add_client_error("commit_transaction", "DatabaseUnavailableException")
    with pytest.raises(data_api.Unavailable), Transaction(client, CLUSTER):
        pass


def test_a_missing_right_is_tried_again_only_where_it_may_be_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_api, "PAUSE", 0.01)
    calls = []

    def work() -> Any:
        calls.append(1)
        if len(calls) < 3:
            raise data_api.NotAllowed
        return "done"

    with pytest.raises(data_api.NotAllowed):
        data_api.retry_until(work, time.monotonic() + 60)
    assert len(calls) == 1
    assert data_api.retry_until(work, time.monotonic() + 60, propagation=60) == "done"


def test_the_cluster_comes_from_the_environment() -> None:
    env = {"CLUSTER_ARN": CLUSTER.arn, "QUERY_SECRET_ARN": CLUSTER.secret_arn, "PGDATABASE": "auth0"}
    assert Cluster.from_env(env) == CLUSTER
    for name in env:
        with pytest.raises(BadSettings, match=name):
            Cluster.from_env(env | {name: ""})
