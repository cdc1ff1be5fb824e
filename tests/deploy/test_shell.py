"""The variables that point a shell at a deployment."""

from pipeline.deploy import shell

URL = "https://sqs.eu-central-1.amazonaws.com/123456789012"
OUTPUTS = {
    "region": "eu-central-1",
    "users_table": "users",
    "bus_names": {"log-stream": "bus"},
    "archive_bucket": "archive",
    "archive_prefix": "logs/",
    "athena_workgroup": "workgroup",
    "glue_database": "glue",
    "queue_urls": {"postgres": f"{URL}/postgres", "dynamodb": f"{URL}/dynamodb"},
    "dlq_urls": {"postgres": f"{URL}/postgres-failed", "dynamodb": f"{URL}/dynamodb-failed"},
    "database": None,
}
AURORA = {"cluster_arn": "arn:cluster", "master_secret_arn": "arn:secret", "name": "auth0"}


def test_a_server_of_ones_own_is_reached_by_ones_own_variables() -> None:
    variables = shell.variables(OUTPUTS)
    assert variables["AWS_REGION"] == "eu-central-1"
    assert variables["USERS_TABLE"] == "users"
    assert variables["POSTGRES_DLQ_URL"] == f"{URL}/postgres-failed"
    assert not variables.keys() & {"CLUSTER_ARN", "DATABASE_URL", "PGHOST"}
    assert shell.hidden(OUTPUTS) == ()


def test_aurora_is_reached_by_the_data_api_and_no_other_database_instead() -> None:
    outputs = OUTPUTS | {"database": AURORA}
    variables = shell.variables(outputs)
    assert variables["CLUSTER_ARN"] == "arn:cluster"
    assert variables["MASTER_SECRET_ARN"] == "arn:secret"
    assert variables["PGDATABASE"] == "auth0"
    assert set(shell.hidden(outputs)) == {"DATABASE_URL", "PGHOST"}


def test_no_variable_holds_credentials() -> None:
    assert not [name for name in shell.variables(OUTPUTS | {"database": AURORA}) if name.startswith("AWS_ACCESS")]
