import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .support import Aws, allow, name, policy
from .test_aurora import Cluster, create, delete

pytestmark = [pytest.mark.emulator, pytest.mark.postgres]


class Database:
    """The Data API of a cluster, as its master."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.client = cluster.aws.client("rds-data")
        self.target = {"resourceArn": cluster.arn, "secretArn": cluster.secret_arn}

    def run(self, sql: str, **request: Any) -> dict[str, Any]:
        request = self.target | {"sql": sql, "database": "app"} | request
        answer: dict[str, Any] = self.client.execute_statement(**request)
        return answer

    def records(self, sql: str, **request: Any) -> list[list[dict[str, Any]]]:
        found: list[list[dict[str, Any]]] = self.run(sql, **request)["records"]
        return found


@pytest.fixture(scope="module")
def database(aws: Aws) -> Iterator[Database]:
    cluster = create(aws)
    yield Database(cluster)
    delete(cluster)


def test_runs_as_the_user_of_the_secret(database: Database) -> None:
    assert database.records("SELECT current_user::text, current_database()::text") == [
        [{"stringValue": "postgres"}, {"stringValue": "app"}]
    ]


def test_parameters_and_fields_are_typed(database: Database) -> None:
    values = {
        "text": {"stringValue": "it's :not 100%"},
        "long": {"longValue": 1 << 40},
        "double": {"doubleValue": 1.5},
        "truth": {"booleanValue": True},
        "bytes": {"blobValue": b"\x00\xff"},
        "nothing": {"isNull": True},
    }
    parameters = [{"name": key, "value": value} for key, value in values.items()]
    sql = "SELECT :text, :long, :double, :truth, :bytes::bytea, :nothing::text, :long, ':text', 'x'::text -- :text"
    (record,) = database.records(sql, parameters=parameters)
    assert record == [*values.values(), values["long"], {"stringValue": ":text"}, {"stringValue": "x"}]


def test_types_that_are_strings_and_arrays(database: Database) -> None:
    sql = """SELECT 1.50::numeric, '{"a": 1}'::jsonb, '2026-01-02 03:04:05.6+01'::timestamptz, DATE '2026-01-02',
        ARRAY['a', 'b,"c', NULL], ARRAY[1, 2], NULL::text"""
    (record,) = database.records(sql)
    assert record == [
        {"stringValue": "1.50"},
        {"stringValue": '{"a": 1}'},
        {"stringValue": "2026-01-02 02:04:05.6"},
        {"stringValue": "2026-01-02"},
        {"arrayValue": {"stringValues": ["a", 'b,"c', None]}},
        {"arrayValue": {"longValues": [1, 2]}},
        {"isNull": True},
    ]


def test_string_goes_into_a_column_of_another_type_only_with_a_cast_or_a_hint(database: Database) -> None:
    database.run("CREATE TABLE typed (id uuid, document jsonb)")
    uuid = {"name": "id", "value": {"stringValue": "6f2f0a7e-35a9-4d09-9b11-3a3a53f0e8a1"}}
    insert = "INSERT INTO typed (id) VALUES (:id)"
    with pytest.raises(database.client.exceptions.DatabaseErrorException, match=r"but expression is of type .* 42804"):
        database.run(insert, parameters=[uuid])
    assert database.run(insert, parameters=[uuid | {"typeHint": "UUID"}])["numberOfRecordsUpdated"] == 1
    assert database.run("INSERT INTO typed (id) VALUES (:id::uuid)", parameters=[uuid])["numberOfRecordsUpdated"] == 1
    assert database.run("UPDATE typed SET document = '{}'")["numberOfRecordsUpdated"] == 2
    assert "records" not in database.run("DELETE FROM typed")


def test_parameters_of_rds_can_be_shown(database: Database, aws: Aws) -> None:
    assert database.records("SHOW rds.force_ssl") == [[{"stringValue": "1"}]]
    rds, group = aws.client("rds"), name("group")
    rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName=group, DBParameterGroupFamily="aurora-postgresql17", Description="a group"
    )
    off = {"ParameterName": "rds.force_ssl", "ParameterValue": "0", "ApplyMethod": "immediate"}
    rds.modify_db_cluster_parameter_group(DBClusterParameterGroupName=group, Parameters=[off])
    rds.modify_db_cluster(
        DBClusterIdentifier=database.cluster.arn.rpartition(":")[2], DBClusterParameterGroupName=group
    )
    assert database.records("SHOW rds.force_ssl") == [[{"stringValue": "0"}]]


def test_metadata_and_json(database: Database) -> None:
    sql = "SELECT 1 AS number, 'a'::text AS text"
    assert "columnMetadata" not in database.run(sql)
    metadata = database.run(sql, includeResultMetadata=True)["columnMetadata"]
    assert [(column["name"], column["typeName"]) for column in metadata] == [("number", "int4"), ("text", "text")]
    answer = database.run(sql, formatRecordsAs="JSON")
    assert json.loads(answer["formattedRecords"]) == [{"number": 1, "text": "a"}]
    assert "records" not in answer


def test_one_statement_a_call(database: Database) -> None:
    for sql in ("SELECT 1; SELECT 2", "CREATE TABLE one (a int); CREATE TABLE two (a int);"):
        with pytest.raises(ClientError, match=r"ValidationException.*Multistatements aren't supported\."):
            database.run(sql)
    assert database.records("SELECT to_regclass('one') IS NULL") == [[{"booleanValue": True}]]
    database.run("""DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'from_do') THEN CREATE ROLE from_do; END IF;
        GRANT rds_iam TO from_do;
    END $$;""")
    assert database.records("SELECT pg_has_role('from_do', 'rds_iam', 'MEMBER')") == [[{"booleanValue": True}]]


def test_refusal_of_postgres_is_a_database_error(database: Database) -> None:
    refused = database.client.exceptions.DatabaseErrorException
    with pytest.raises(refused, match='ERROR: relation "none" does not exist; Position: 15; SQLState: 42P01'):
        database.run("SELECT * FROM none")
    with pytest.raises(refused, match=r'FATAL: +database "none" does not exist'):
        database.run("SELECT 1", database="none")
    with pytest.raises(refused, match="permission denied to set parameter"):
        database.run("ALTER SYSTEM SET work_mem = '1GB'")


def test_unsupported_result_types_are_refused(database: Database) -> None:
    with pytest.raises(database.client.exceptions.UnsupportedResultException, match="unsupported data type regtype"):
        database.run("SELECT 'int'::regtype")


def test_response_has_a_limit(database: Database) -> None:
    with pytest.raises(ClientError, match="more than the allowed response size limit"):
        database.run("SELECT repeat('x', 1100000)")


def test_transaction_is_committed_or_rolled_back(database: Database) -> None:
    database.run("CREATE TABLE IF NOT EXISTS kept (a int)")
    for end, count in (("rollback_transaction", 0), ("commit_transaction", 1)):
        transaction = database.client.begin_transaction(**database.target, database="app")["transactionId"]
        database.run("INSERT INTO kept VALUES (1)", transactionId=transaction)
        assert database.records("SELECT count(*) FROM kept") == [[{"longValue": 0}]]
        getattr(database.client, end)(**database.target, transactionId=transaction)
        assert database.records("SELECT count(*) FROM kept") == [[{"longValue": count}]]
        with pytest.raises(database.client.exceptions.TransactionNotFoundException):
            database.run("SELECT 1", transactionId=transaction)


def test_batch_is_one_transaction(database: Database) -> None:
    database.run("CREATE TABLE batched (a bigint PRIMARY KEY)")
    call = {**database.target, "sql": "INSERT INTO batched VALUES (:a)", "database": "app"}
    sets = [[{"name": "a", "value": {"longValue": number}}] for number in (1, 2, 2)]
    with pytest.raises(database.client.exceptions.DatabaseErrorException, match="23505"):
        database.client.batch_execute_statement(**call, parameterSets=sets)
    answer = database.client.batch_execute_statement(**call, parameterSets=sets[:2])
    assert answer["updateResults"] == [{"generatedFields": []}] * 2
    assert database.records("SELECT count(*) FROM batched") == [[{"longValue": 2}]]


def test_secret_must_hold_the_password(database: Database, aws: Aws) -> None:
    secret = json.dumps({"username": "postgres", "password": "wrong"})
    arn = aws.client("secretsmanager").create_secret(Name=name("secret"), SecretString=secret)["ARN"]
    with pytest.raises(database.client.exceptions.DatabaseErrorException, match="password authentication failed"):
        database.run("SELECT 1", secretArn=arn)
    with pytest.raises(database.client.exceptions.SecretsErrorException):
        database.run("SELECT 1", secretArn=f"{arn}-none")


def test_callers_policies_must_allow_the_call_and_the_secret(database: Database, aws: Aws) -> None:
    iam, session = aws.client("iam"), aws.session()
    client = session.client("rds-data")
    call, statements = {**database.target, "sql": "SELECT 1", "database": "app"}, []
    for action, resource, refused in (
        ("rds-data:ExecuteStatement", database.cluster.arn, client.exceptions.AccessDeniedException),
        ("secretsmanager:GetSecretValue", database.cluster.secret_arn, client.exceptions.ForbiddenException),
    ):
        with pytest.raises(refused, match=f"not authorized to perform: {action} on resource: {resource}"):
            client.execute_statement(**call)
        statements.append(allow(action, resource))
        iam.put_role_policy(RoleName=session.name, PolicyName="data", PolicyDocument=policy(*statements))
    assert client.execute_statement(**call)["records"] == [[{"longValue": 1}]]


def test_cluster_without_http_endpoint_refuses(database: Database, aws: Aws) -> None:
    rds = aws.client("rds")
    rds.disable_http_endpoint(ResourceArn=database.cluster.arn)
    try:
        with pytest.raises(database.client.exceptions.HttpEndpointNotEnabledException):
            database.run("SELECT 1")
    finally:
        rds.enable_http_endpoint(ResourceArn=database.cluster.arn)


def test_statement_that_waits_does_not_hold_up_the_emulator(database: Database, aws: Aws) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(database.run, "SELECT 1 FROM pg_sleep(3)")
        aws.sqs.list_queues()
        assert not waiting.done()
        waiting.result()
