"""What is said of what went wrong."""

import json

import pytest

from pipeline.deploy.failures import explain
from pipeline.invocation import function_error
from pipeline.terraform import TerraformError, describe

DEPLOYED = {"function_names": {"migrate": "auth0-sync-prod-migrate"}}
ANSWER = json.dumps({"errorMessage": '(psycopg) relation "x" exists (42P07)', "errorType": "DuplicateTable"})


def error(summary: str, detail: str = "", address: str | None = None) -> TerraformError:
    problem = {"severity": "error", "summary": summary, "detail": detail} | ({"address": address} if address else {})
    return TerraformError(f"terraform apply failed:\n{describe([problem])}", [problem])


@pytest.mark.parametrize(
    "summary",
    [
        f"invoking Lambda Function (auth0-sync-prod-migrate): {ANSWER}",
        f"Lambda function (auth0-sync-prod-migrate) returned error: ({ANSWER})",
    ],
)
def test_a_failed_migration_says_why_what_runs_and_what_to_do(summary: str) -> None:
    said = explain("prod", error(summary, address="module.auth0_sync.aws_lambda_invocation.migrate[0]"), DEPLOYED)
    assert said.splitlines() == [
        "The migration of the database failed:",
        '  DuplicateTable: (psycopg) relation "x" exists (42P07)',
        "Nothing of the sync was replaced: the version that was deployed before is running.",
        "Look:  auth0-sync logs migrate --env prod",
        "Then:  make deploy ENV=prod  (it continues from here)",
    ]


def test_at_a_first_deployment_nothing_runs_yet() -> None:
    said = explain(
        "prod",
        error(f"invoking Lambda Function (f): {ANSWER}", address="module.auth0_sync.aws_lambda_invocation.roles[0]"),
        {},
    )
    assert said.startswith("The database roles could not be made:\n  DuplicateTable")
    assert "The sync has not been started" in said


def test_an_invocation_that_could_not_be_made_is_shown_as_it_is() -> None:
    said = explain(
        "prod",
        error("AccessDenied", "no lambda:Invoke", "module.auth0_sync.aws_lambda_invocation.migrate[0]"),
        DEPLOYED,
    )
    assert "  AccessDenied\n  no lambda:Invoke" in said
    assert "Look:" not in said


def test_a_lock_says_who_holds_it_and_how_to_break_it() -> None:
    detail = (
        "Error message: resource temporarily unavailable\nLock Info:\n  ID:        7509abc8\n"
        "  Path:      terraform.tfstate\n  Operation: OperationTypeApply\n  Who:       ada@ci\n  Version:   1.11.4\n"
        "  Created:   2026-11-25 10:35:57 +0000 UTC\n  Info:      \n"
    )
    said = explain("prod", error("Error acquiring the state lock", detail), {})
    assert "ada@ci, since 2026-11-25 10:35:57" in said
    assert "terraform -chdir=.deploy/prod force-unlock 7509abc8" in said


def test_a_state_that_cannot_be_reached_is_no_lock() -> None:
    said = explain("prod", error("Error acquiring the state lock", "NoSuchBucket: the bucket does not exist"), {})
    assert "NoSuchBucket" in said
    assert "force-unlock" not in said


@pytest.mark.parametrize(
    ("summary", "advice"),
    [
        ("creating Lambda Function: AccessDeniedException: not authorized to perform", "docs/deploy.md"),
        ("ExpiredToken: The security token included in the request is expired", "Sign in again"),
        (
            "creating EventBridge Event Bus (x): ResourceAlreadyExistsException: Event bus x already exists.",
            "create_buses",
        ),
        (
            "creating Firehose: ResourceInUseException: Delivery stream x already exists.",
            "not in this deployment's state",
        ),
        ("PutFunctionConcurrency: decreases account's UnreservedConcurrentExecution below its minimum value", "= null"),
    ],
)
def test_known_errors_come_with_advice(summary: str, advice: str) -> None:
    said = explain("prod", error(summary), DEPLOYED)
    assert summary in said
    assert advice in said


def test_unknown_errors_come_as_they_are() -> None:
    unknown = error("something else", "of no known kind")
    assert explain("prod", unknown, {}) == str(unknown)


def test_answer_of_a_function_is_printed_whatever_its_form() -> None:
    assert (
        function_error('{"errorMessage": "Task timed out after 900.00 seconds"}')
        == "Task timed out after 900.00 seconds"
    )
    assert function_error("[1]") == "[1]"
    assert function_error("not JSON") == "not JSON"
