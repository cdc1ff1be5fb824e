"""The estimate: docs/cost.md has what the model gives, and the model what can be worked out by hand."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.deploy import cost
from pipeline.deploy.cost import LARGE, SMALL, Tenant, bill, total

DOCS = (Path(__file__).parents[2] / "docs" / "cost.md").read_text()


def dollars(tenant: Tenant, service: str) -> float:
    [line] = [line for line in bill(tenant) if line.service == service]
    return line.dollars


def test_the_docs_have_the_tables() -> None:
    assert cost.markdown() in DOCS, "python -c 'from pipeline.deploy import cost; print(cost.markdown())'"


@pytest.mark.parametrize(
    ("service", "large"),
    [
        ("EventBridge", 50e6 * 30.4 / 1e6 * 1.00),
        ("Firehose", 50e6 * 30.4 * 5 / 2**20 * 0.029),
        ("DynamoDB, writes", 50e6 * 30.4 * 0.05 * 3 / 1e6 * 0.625),
        ("DynamoDB, storage", 10e6 * 2.5 / 2**20 * 0.45),
        ("Aurora, capacity", 1.5 * 730 * 0.12),
        ("S3", 50e6 * 30.4 * 2.5 / 8 / 2**20 * 12 * 0.023 + 50e6 * 30.4 * 2560 / 2**26 / 1e6 * 5),
    ],
)
def test_by_hand(service: str, large: float) -> None:
    assert dollars(LARGE, service) == pytest.approx(large, rel=1e-3)


def test_small_bills_have_a_floor_and_large_ones_grow_with_events() -> None:
    assert total(replace(SMALL, users=1, logs_a_day=0)) > 40
    more = replace(LARGE, logs_a_day=2 * LARGE.logs_a_day)
    assert dollars(more, "EventBridge") == pytest.approx(2 * dollars(LARGE, "EventBridge"))
    assert total(LARGE) < total(more) < 2 * total(LARGE)


def test_choices_change_what_they_are_about() -> None:
    reader = replace(LARGE, readers=1)
    assert dollars(reader, "Aurora, capacity") == 2 * dollars(LARGE, "Aurora, capacity")
    streamed = replace(LARGE, event_stream=True)
    assert dollars(streamed, "DynamoDB, writes") == 2 * dollars(LARGE, "DynamoDB, writes")
    assert dollars(streamed, "EventBridge") == pytest.approx(1.05 * dollars(LARGE, "EventBridge"))
    filtered = replace(LARGE, filtered=0.5)
    assert dollars(filtered, "EventBridge") == pytest.approx(0.5 * dollars(LARGE, "EventBridge"))
    assert dollars(filtered, "DynamoDB, writes") == dollars(LARGE, "DynamoDB, writes")


def test_a_longer_window_makes_larger_batches_of_a_busy_queue() -> None:
    longer = replace(LARGE, window_seconds=5)
    assert total(replace(SMALL, window_seconds=5)) == total(SMALL)
    assert longer.batch == pytest.approx(5 * LARGE.batch) == pytest.approx(50e6 * 0.05 / 86400)
    assert dollars(longer, "Lambda") < 0.3 * dollars(LARGE, "Lambda")


def test_the_window_is_the_modules_default() -> None:
    variables = Path(__file__).parents[2] / "infra" / "terraform" / "modules" / "auth0-sync" / "variables.tf"
    sync = variables.read_text().partition('variable "sync"')[2]
    assert re.findall(r"batch_window_seconds += optional\(number, (\d+)\)", sync)[0] == str(SMALL.window_seconds)


def test_glacier_takes_no_small_objects_and_charges_for_each_that_it_takes() -> None:
    """100,000 logs a day are objects of 111 KB every five minutes, of 333 KB every fifteen."""
    small = dollars(SMALL, "S3")
    assert dollars(replace(SMALL, glacier_after_months=3), "S3") == small
    month, objects = 100_000 * 30.4 * 2560 / 8 / 2**30, 30.4 * 96
    slower = replace(SMALL, glacier_after_months=3, buffer_seconds=900)
    expected = month * (3 * 0.023 + 9 * 0.004) + objects * (5 + 20) / 1e6
    assert dollars(slower, "S3") == pytest.approx(expected)
    # Of the size that just moves.
    edge = replace(SMALL, logs_a_day=int(288 * 128 * 1024 * 8 / 2560) + 1)
    assert dollars(replace(edge, glacier_after_months=3), "S3") < dollars(edge, "S3")
    assert dollars(replace(LARGE, glacier_after_months=3), "S3") < 0.5 * dollars(LARGE, "S3")


def test_logs_of_network_and_postgres_are_counted() -> None:
    idle = replace(SMALL, logs_a_day=0, alarms=0)
    flows, postgres = 5 * 60 * 24 * 30.4 * 4 * 125, 30.4 * 5 * 2**20
    assert dollars(idle, "CloudWatch") == pytest.approx(20 * 0.30 + 3 + (flows + postgres) / 2**30 * 0.50)


def test_the_docs_name_every_price() -> None:
    prices = [
        cost.EVENTS, cost.FIREHOSE_GB, cost.S3_GB, cost.S3_GLACIER_IR_GB, cost.S3_TRANSITIONS,
        cost.SQS, cost.LAMBDA_REQUESTS, cost.DYNAMODB_WRITES, cost.DYNAMODB_GB, cost.DYNAMODB_BACKUP_GB,
        cost.ACU_HOUR, cost.AURORA_GB,
        cost.AURORA_IO, cost.AURORA_BACKUP_GB, cost.ALARM, cost.METRIC, cost.LOG_GB, cost.SECRET,
    ]  # fmt: skip
    for price in prices:
        assert f"${price:.2f}" in DOCS or f"${price:g}" in DOCS, price
    assert f"${cost.LAMBDA_GB_SECOND:.10f} a GB-second" in DOCS


def test_of_a_tenant_of_ones_own() -> None:
    arguments = ["cost", "--users", "200000", "--logs-a-day", "1000000", "--readers", "1", "--json"]
    found = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert found["dollars_a_month"] == pytest.approx(total(Tenant(200_000, 1_000_000, readers=1)))
    assert sum(line["dollars"] for line in found["lines"]) == pytest.approx(found["dollars_a_month"])
    assert "together" in CliRunner().invoke(app, arguments[:-1]).stdout


def test_the_page_on_performance_has_the_cost_of_a_million() -> None:
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()
    logs, small, large = cost.a_million_logs(LARGE), cost.a_million_changes(SMALL), cost.a_million_changes(LARGE)
    assert f"| logs that change nobody | {cost.a_million_logs(SMALL):.2f} | {logs:.2f} |" in page
    assert f"| changes of users, beside their logs | {small:.2f} | {large:.2f} |" in page
    a_million = replace(LARGE, changes=0, logs_a_day=LARGE.logs_a_day + round(1e6 / cost.DAYS))
    assert logs == pytest.approx(total(a_million) - total(replace(LARGE, changes=0)))
