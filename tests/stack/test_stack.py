"""The real Terraform on the emulator, the real functions in it, and the main job through all of it."""

from pathlib import Path

import psycopg
import pytest

from devstack import demo, stack
from devstack.terraform import Terraform
from pipeline.terraform import CONFIGURATION

from .fixtures import EVENTS, MALFORMED, options

pytestmark = [pytest.mark.stack, pytest.mark.emulator, pytest.mark.postgres]


def test_every_store_holds_what_was_put(report: demo.Report) -> None:
    assert report.differences == []
    assert report.put == report.archived == EVENTS


def test_counts_add_up(run: demo.Run, report: demo.Report) -> None:
    attempts = 2  # max_receive_count of environments/local.tfvars
    for counts in report.counts.values():
        assert counts["poison"] == attempts * MALFORMED
        outcomes = ("applied", "duplicate", "stale", "ignored", "signals", "poison", "retried")
        assert counts["received"] == sum(counts[outcome] for outcome in outcomes)
        assert counts["applied"] >= len(run.expected.live) + len(run.expected.deleted)
        assert counts["retried"] == 0


def test_bad_messages_are_in_the_dead_letter_queues_with_the_reason(report: demo.Report) -> None:
    assert len(report.bad_messages) == 2 * MALFORMED
    assert all("cannot be read as an ISO 8601 timestamp" in message.reason for message in report.bad_messages)


def test_people_get_answers(run: demo.Run, report: demo.Report) -> None:
    assert sum(row["users"] for row in report.metadata.dicts()) == sum(
        "plan" in user.get("user_metadata", {}) for user in run.expected.live.values()
    )
    assert report.item["user_metadata"] == run.expected.live[report.user_id].get("user_metadata", {})
    newest = report.answer.dicts()[0]
    assert newest["http_method"] in ("patch", "post")
    assert newest["ip"]
    assert all(0 < lag.p50 <= lag.p99 for lag in report.lags.values())


def test_the_roles_are_those_of_a_deployment(run: demo.Run, running: stack.Stack) -> None:
    """Functions that signed in as a superuser would hide a missing right."""
    assert run.details
    with psycopg.connect(running.database_url) as connection:
        used = "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'auth0-sync'"
        assert connection.execute(used).fetchall() == [("auth0_writer",)]
        owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'auth0'"
        assert connection.execute(owners).fetchall() == [("auth0_migrator",)]
        supers = "SELECT rolname FROM pg_roles WHERE rolsuper AND rolname <> 'postgres'"
        assert connection.execute(supers).fetchall() == []
        public = "SELECT has_database_privilege('public', current_database(), 'CONNECT')"
        assert connection.execute(public).fetchall() == [(False,)]
    for statement in (
        "DELETE FROM auth0.user_rows",
        "CREATE TABLE auth0.mine ()",
        "ALTER TABLE auth0.user_rows ADD x int",
    ):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            psycopg.connect(running.url_of("auth0_writer")) as connection,
        ):
            connection.execute(statement)


def test_a_difference_is_found(run: demo.Run, running: stack.Stack) -> None:
    """The comparison itself can fail: take one user away from each store, and one event from the archive."""
    gone = min(run.expected.live)
    with psycopg.connect(running.database_url) as connection:
        connection.execute("UPDATE auth0.user_rows SET profile = '{}' WHERE user_id = %s", [gone])
    dynamodb = running.client("dynamodb")
    table = running.outputs["users_table"]
    item = dynamodb.get_item(TableName=table, Key={"user_id": {"S": gone}})["Item"]
    dynamodb.delete_item(TableName=table, Key={"user_id": {"S": gone}})
    run.objects[next(key for key, events in run.objects.items() if events)].pop()

    found = demo.report(run).differences

    dynamodb.put_item(TableName=table, Item=item)
    run.objects.clear()
    assert [difference.split(":")[0] for difference in found] == ["Postgres", "DynamoDB", "archive"]


def test_a_second_plan_changes_nothing(running: stack.Stack, directory: Path) -> None:
    saved = stack._load(directory)
    assert saved is not None
    variables = stack.terraform_variables(saved.stack) | options(saved.stack)
    local = CONFIGURATION / "environments" / "local.tfvars"
    terraform = Terraform(directory / "terraform", running.endpoint, running.region, variables, local)
    assert terraform.planned_changes() == []


def test_up_again_is_quick_and_keeps_what_is_there(running: stack.Stack, directory: Path) -> None:
    assert stack.up(directory=directory, options=options) == running
