import base64
import gzip
import json
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from devstack.traffic import eventbridge

from .support import Aws, name, wait_for

pytestmark = pytest.mark.emulator

DETAIL = "struct<log_id:string,data:struct<date:string,type:string,user_id:string,scope:array<string>,details:string>>"
PARAMETERS = {
    "projection.enabled": "true",
    "projection.dt.type": "date",
    "projection.dt.format": "yyyy-MM-dd",
    "projection.dt.range": "2026-01-01,NOW",
    "projection.dt.interval": "1",
    "projection.dt.interval.unit": "DAYS",
    "projection.hour.type": "integer",
    "projection.hour.range": "0,23",
    "projection.hour.digits": "2",
}
VIEW = """
SELECT log_id, type, user_id, details, event_time, dt, hour FROM (
  SELECT detail.log_id AS log_id, detail.data.type AS type, detail.data.user_id AS user_id,
         detail.data.details AS details, from_iso8601_timestamp(detail.data.date) AS event_time, dt, hour,
         row_number() OVER (PARTITION BY dt, detail.log_id ORDER BY time, id) AS copy
  FROM logs)
WHERE copy = 1
"""
DETAILS = {"response": {"body": {"user_id": "auth0|1", "n": 12345678901234567890}}, "q": 'é "x"', "none": None}


def event(log_id: str, date: str, kind: str = "sapi", **data: Any) -> dict[str, Any]:
    detail = {"log_id": log_id, "data": {"log_id": log_id, "date": date, "type": kind, **data}}
    return eventbridge(detail, event_id=f"event-{log_id}", time=date)


EVENTS = {
    "dt=2026-01-05/hour=09/a.json.gz": [
        event("1", "2026-01-05T09:10:00.123Z", user_id="auth0|1", scope=["read", "write"], details=DETAILS),
        event("1", "2026-01-05T09:10:00.123Z", user_id="auth0|1", scope=["read", "write"], details=DETAILS),
        event("2", "2026-01-05T09:20:00.000Z", "s", user_id="auth0|2", details="text"),
    ],
    "dt=2026-01-05/hour=10/b.json.gz": [event("3", "2026-01-05T10:00:00.000Z", "f", details={"n": [1, 1e3, True]})],
    "dt=2026-01-06/hour=00/c.json": [event("4", "2026-01-06T00:00:00.000Z", "sapi", user_id="auth0|1")],
    # Not of the table: no such hour, not a date, another layout, below no partition, before the range, hidden.
    "dt=2026-01-05/hour=24/x.json": [event("x", "2026-01-05T10:00:00Z")],
    "dt=2026-01-05/hour=9/x.json": [event("x", "2026-01-05T10:00:00Z")],
    "dt=yesterday/hour=09/x.json": [event("x", "2026-01-05T10:00:00Z")],
    "2026/01/05/x.json": [event("x", "2026-01-05T10:00:00Z")],
    "x.json": [event("x", "2026-01-05T10:00:00Z")],
    "dt=2025-12-31/hour=10/x.json": [event("x", "2025-12-31T10:00:00Z")],
    "dt=2026-01-05/hour=09/_x.json": [event("x", "2026-01-05T10:00:00Z")],
}


@dataclass
class Answer:
    names: list[str]
    types: list[str]
    rows: list[list[str | None]]
    execution: dict[str, Any]


@dataclass
class Archive:
    """A small archive: database, bucket and the sizes of its objects."""

    aws: Aws
    database: str
    bucket: str
    sizes: dict[str, int]

    def execute(self, sql: str, **settings: Any) -> dict[str, Any]:
        started = self.aws.athena.start_query_execution(
            QueryString=sql,
            QueryExecutionContext={"Database": self.database},
            ResultConfiguration={"OutputLocation": f"s3://{self.bucket}/results"},
            **settings,
        )

        def finished() -> Any:
            execution = self.aws.athena.get_query_execution(QueryExecutionId=started["QueryExecutionId"])[
                "QueryExecution"
            ]
            return execution if execution["Status"]["State"] in ("SUCCEEDED", "FAILED") else None

        return wait_for(finished)  # type: ignore[no-any-return]  # boto3's answer

    def query(self, sql: str, **settings: Any) -> Answer:
        execution = self.execute(sql, **settings)
        assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]["StateChangeReason"]
        results = self.aws.athena.get_query_results(QueryExecutionId=execution["QueryExecutionId"])["ResultSet"]
        rows = [[datum.get("VarCharValue") for datum in row["Data"]] for row in results["Rows"]]
        info = results["ResultSetMetadata"]["ColumnInfo"]
        names = [column["Name"] for column in info]
        assert rows[0] == names
        return Answer(names, [column["Type"] for column in info], rows[1:], execution)

    def value(self, expression: str) -> tuple[str | None, str]:
        """What an SQL expression gives, and its type."""
        answer = self.query(f"SELECT {expression} AS x")
        return answer.rows[0][0], answer.types[0]

    def failure(self, sql: str, **settings: Any) -> str:
        execution = self.execute(sql, **settings)
        assert execution["Status"]["State"] == "FAILED"
        reason: str = execution["Status"]["StateChangeReason"]
        return reason

    def table(self, table: str, prefix: str, columns: dict[str, str], **settings: Any) -> None:
        """Declare a table of OpenX JSON below a prefix of the bucket."""
        serde = settings.pop("serde", {})
        storage = {
            "Columns": [{"Name": column, "Type": kind} for column, kind in columns.items()],
            "Location": f"s3://{self.bucket}/{prefix}/",
            "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
            "SerdeInfo": {"SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe", "Parameters": serde},
        }
        table_input = {"Name": table, "TableType": "EXTERNAL_TABLE", "StorageDescriptor": storage, **settings}
        self.aws.glue.create_table(DatabaseName=self.database, TableInput=table_input)

    def lines(self, columns: dict[str, str], *lines: str, **serde: str) -> Callable[[str], Answer]:
        """A query over a new table of the given lines; ``{t}`` stands for it."""
        table = name("t").replace("-", "_")
        self.aws.s3.put_object(Bucket=self.bucket, Key=f"{table}/x.json", Body="\n".join(lines).encode())
        self.table(table, table, columns, serde={key.replace("_", "."): value for key, value in serde.items()})
        return lambda sql: self.query(sql.format(t=table))

    def view(self, view: str, sql: str) -> None:
        text = json.dumps({"originalSql": sql, "catalog": "awsdatacatalog", "schema": self.database, "columns": []})
        original = f"/* Presto View: {base64.b64encode(text.encode()).decode()} */"
        table_input = {
            "Name": view,
            "TableType": "VIRTUAL_VIEW",
            "ViewOriginalText": original,
            "ViewExpandedText": "/* Presto View */",
            "Parameters": {"presto_view": "true"},
            "StorageDescriptor": {"Columns": [], "SerdeInfo": {}},
        }
        self.aws.glue.create_table(DatabaseName=self.database, TableInput=table_input)


@pytest.fixture(scope="module")
def archive(aws: Aws) -> Archive:
    bucket, database = aws.bucket(), name("db").replace("-", "_")
    sizes = {}
    for key, events in EVENTS.items():
        body = "".join(json.dumps(item) + "\n" for item in events).encode()
        body = gzip.compress(body) if key.endswith(".gz") else body
        aws.s3.put_object(Bucket=bucket, Key=f"logs/{key}", Body=body)
        sizes[key] = len(body)
    aws.glue.create_database(DatabaseInput={"Name": database})
    made = Archive(aws, database, bucket, sizes)
    columns = dict.fromkeys(("id", "detail_type", "source", "time"), "string")
    made.table(
        "logs",
        "logs",
        {**columns, "resources": "array<string>", "detail": DETAIL},
        serde={"mapping.detail_type": "detail-type", "case.insensitive": "FALSE", "ignore.malformed.json": "FALSE"},
        PartitionKeys=[{"Name": "dt", "Type": "string"}, {"Name": "hour", "Type": "string"}],
        Parameters={
            **PARAMETERS,
            "storage.location.template": f"s3://{bucket}/logs/dt=${{dt}}/hour=${{hour}}/",
        },
    )
    made.view("tenant_logs", VIEW)
    made.view("api_calls", "SELECT * FROM tenant_logs WHERE type = 'sapi'")
    return made


def test_declared_columns_are_read_from_the_projected_partitions(archive: Archive) -> None:
    answer = archive.query("SELECT detail.log_id, detail_type, dt, hour FROM logs ORDER BY 1, 3")
    assert answer.names == ["log_id", "detail_type", "dt", "hour"]
    assert answer.rows == [
        ["1", "Auth0 log", "2026-01-05", "09"],
        ["1", "Auth0 log", "2026-01-05", "09"],
        ["2", "Auth0 log", "2026-01-05", "09"],
        ["3", "Auth0 log", "2026-01-05", "10"],
        ["4", "Auth0 log", "2026-01-06", "00"],
    ]


def test_a_row_names_its_object(archive: Archive) -> None:
    answer = archive.query('SELECT "$path" AS path, count(*) AS lines FROM logs GROUP BY "$path" ORDER BY 1')
    keys = ("2026-01-05/hour=09/a.json.gz", "2026-01-05/hour=10/b.json.gz", "2026-01-06/hour=00/c.json")
    assert [row[0] for row in answer.rows] == [f"s3://{archive.bucket}/logs/dt={key}" for key in keys]
    assert [row[1] for row in answer.rows] == ["3", "1", "1"]
    assert "$path" not in archive.query("SELECT * FROM logs").names


def test_star_gives_every_column_with_its_type(archive: Archive) -> None:
    answer = archive.query("SELECT * FROM logs WHERE dt = '2026-01-06'")
    assert answer.names == ["id", "detail_type", "source", "time", "resources", "detail", "dt", "hour"]
    assert answer.types == ["varchar"] * 4 + ["array", "row", "varchar", "varchar"]
    assert answer.rows[0][4:6] == [
        "[]",
        "{log_id=4, data={date=2026-01-06T00:00:00.000Z, type=sapi, user_id=auth0|1, scope=null, details=null}}",
    ]


def test_text_column_takes_an_object_as_json_text(archive: Archive) -> None:
    answer = archive.query("SELECT detail.data.details FROM logs ORDER BY id, time")
    assert [row[0] for row in answer.rows] == [
        '{"response":{"body":{"user_id":"auth0|1","n":12345678901234567890}},"q":"é \\"x\\"","none":null}',
        '{"response":{"body":{"user_id":"auth0|1","n":12345678901234567890}},"q":"é \\"x\\"","none":null}',
        "text",
        '{"n":[1,1000.0,true]}',
        None,
    ]


def test_view_gives_each_log_once_and_views_nest(archive: Archive) -> None:
    answer = archive.query("SELECT t.log_id, t.event_time FROM tenant_logs t ORDER BY t.log_id")
    assert answer.types == ["varchar", "timestamp with time zone"]
    assert answer.rows[0] == ["1", "2026-01-05 09:10:00.123 UTC"]
    assert [row[0] for row in answer.rows] == ["1", "2", "3", "4"]
    answer = archive.query(
        "SELECT json_extract_scalar(details, '$.response.body.user_id') AS changed, count(*) FROM api_calls "
        "WHERE user_id = 'auth0|1' GROUP BY 1 ORDER BY 1"
    )
    assert answer.names == ["changed", "_col1"]
    assert answer.rows == [["auth0|1", "1"], [None, "1"]]


def test_joins_subqueries_and_common_table_expressions(archive: Archive) -> None:
    answer = archive.query(
        f"""
        WITH calls AS (SELECT * FROM {archive.database}.tenant_logs WHERE type = 'sapi')
        SELECT c.log_id, l.hour, s.permission
        FROM calls c
        JOIN "awsdatacatalog"."{archive.database}"."logs" l ON l.detail.log_id = c.log_id
        CROSS JOIN UNNEST(l.detail.data.scope) AS s(permission)
        WHERE c.log_id IN (SELECT detail.log_id FROM logs WHERE logs.dt = '2026-01-05')
        GROUP BY 1, 2, 3 ORDER BY 3
        """
    )
    assert answer.rows == [["1", "09", "read"], ["1", "09", "write"]]


@pytest.mark.parametrize(
    ("table", "condition", "files"),
    [
        ("logs", "dt = '2026-01-06'", "c"),
        ("logs", "dt >= '2026-01-05' AND hour IN ('09', '10') AND id IS NOT NULL", "ab"),
        ("logs l", "l.dt BETWEEN '2026-01-05' AND '2026-01-06' AND (hour = '10' OR l.dt > '2026-01-05')", "bc"),
        ("logs", "dt > CAST(DATE '2026-01-06' - INTERVAL '1' DAY AS varchar)", "c"),
        ("logs", "dt = '2026-01-05' OR id = 'event-4'", "abc"),
        ("logs", "dt > '2099-01-01'", ""),
        # Through views, as far as their windows are partitioned by the column.
        ("tenant_logs", "dt = '2026-01-06'", "c"),
        ("api_calls AS a", "a.dt = '2026-01-06' AND user_id = 'auth0|1'", "c"),
        ("tenant_logs", "hour = '10'", "abc"),
        # As the questions bound their hours.
        ("tenant_logs", "dt >= substr('2026-01-06T00', 1, 10) AND dt || 'T' || hour >= '2026-01-06T00'", "c"),
        ("(SELECT dt, count(*) AS n FROM logs GROUP BY dt)", "dt = '2026-01-06'", "abc"),
    ],
)
def test_scanned_bytes_are_those_of_the_partitions_asked_for(
    archive: Archive, table: str, condition: str, files: str
) -> None:
    answer = archive.query(f"SELECT count(*) FROM {table} WHERE {condition}")
    paths = {
        "a": "dt=2026-01-05/hour=09/a.json.gz",
        "b": "dt=2026-01-05/hour=10/b.json.gz",
        "c": "dt=2026-01-06/hour=00/c.json",
    }
    assert answer.execution["Statistics"]["DataScannedInBytes"] == sum(archive.sizes[paths[file]] for file in files)


def test_result_is_a_csv_object_at_the_output_location(archive: Archive) -> None:
    answer = archive.query("""SELECT 'a "b"' AS x, NULL AS y, 1 AS z""")
    location = answer.execution["ResultConfiguration"]["OutputLocation"]
    key = f"results/{answer.execution['QueryExecutionId']}.csv"
    assert location == f"s3://{archive.bucket}/{key}"
    body = archive.aws.s3.get_object(Bucket=archive.bucket, Key=key)["Body"].read()
    assert body == b'"x","y","z"\n"a ""b""",,"1"\n'


def test_execution_parameters(archive: Archive) -> None:
    sql = "SELECT log_id, '?' FROM tenant_logs WHERE ? IN (user_id, log_id) AND dt = ? ORDER BY 1 LIMIT ?"
    parameters = ["'auth0|2'", "'2026-01-05'", "1"]
    answer = archive.query(sql, ExecutionParameters=parameters)
    assert answer.rows == [["2", "?"]]
    assert answer.execution["ExecutionParameters"] == parameters
    assert answer.execution["Query"] == sql
    assert "expected 3 but found 2" in archive.failure(sql, ExecutionParameters=parameters[:2])


@pytest.mark.parametrize(
    "text", ["user_id", "1 OR 1 = 1 OR user_id = '1'", "1 FROM logs", "1, 2", "(SELECT 1)", "1; DROP"]
)
def test_execution_parameter_that_is_no_literal_is_refused(archive: Archive, text: str) -> None:
    reason = archive.failure("SELECT log_id FROM tenant_logs WHERE log_id = ?", ExecutionParameters=[text])
    assert "is not a literal" in reason or "SYNTAX_ERROR" in reason


@pytest.mark.parametrize(
    ("expression", "value", "kind"),
    [
        ("""json_extract_scalar('{"a":{"b c":[1,"x"]}}', '$.a["b c"][1]')""", "x", "varchar"),
        ("""json_extract_scalar('{"a":{}}', '$.a')""", None, "varchar"),
        ("json_extract_scalar('no json', '$.a')", None, "varchar"),
        ("""json_extract_scalar('{"a":"x"}', '$.a') = 'x'""", "true", "boolean"),
        ("""json_extract('{"a":{"b":1}}', '$.a')""", '{"b":1}', "json"),
        ("""CAST(json_extract('{"a":"x"}', '$.a') AS varchar)""", "x", "varchar"),
        ("""CAST(json_extract('{"a":["x"]}', '$.a') AS array(varchar))""", "[x]", "array"),
        ("""json_format(json_parse('{"a": [1, 2]}'))""", '{"a":[1,2]}', "varchar"),
        ("json_array_length('[1,2]')", "2", "bigint"),
        ("""json_size('{"a":[1,2]}', '$.a')""", "2", "bigint"),
        ("CAST('x' AS json)", '"x"', "json"),
        (
            "from_iso8601_timestamp('2026-01-05T09:10:00.5+01:00')",
            "2026-01-05 08:10:00.500 UTC",
            "timestamp with time zone",
        ),
        ("to_iso8601(from_iso8601_timestamp('2026-01-05T09:10:00Z'))", "2026-01-05T09:10:00.000Z", "varchar"),
        ("timestamp '2026-01-05 09:10:00'", "2026-01-05 09:10:00.000", "timestamp"),
        (
            "at_timezone(from_iso8601_timestamp('2026-01-05T23:30:00Z'), 'Europe/Berlin')",
            "2026-01-06 00:30:00.000",
            None,
        ),
        ("date_trunc('hour', timestamp '2026-01-05 09:10:00')", "2026-01-05 09:00:00.000", "timestamp"),
        ("date_diff('day', timestamp '2026-01-05 23:00:00', timestamp '2026-01-06 01:00:00')", "0", "bigint"),
        ("date_diff('hour', timestamp '2026-01-05 23:00:00', timestamp '2026-01-06 01:00:00')", "2", "bigint"),
        ("date_add('day', -1, DATE '2026-01-01')", "2025-12-31", "date"),
        ("CAST(DATE '2026-01-01' - INTERVAL '1' DAY AS varchar)", "2025-12-31", "varchar"),
        ("date_format(timestamp '2026-01-05 09:10:00', '%Y-%m-%d %H:%i')", "2026-01-05 09:10", "varchar"),
        ("current_timestamp > timestamp '2026-01-01 00:00:00' - INTERVAL '7' DAY", "true", "boolean"),
        ("from_unixtime(0)", "1970-01-01 00:00:00.000 UTC", "timestamp with time zone"),
        ("regexp_like('abc', 'b')", "true", "boolean"),
        ("regexp_extract('a12', '([a-z])(\\d+)', 2)", "12", "varchar"),
        ("regexp_extract('abc', '\\d')", None, "varchar"),
        ("regexp_replace('a-b', '(\\w)-(\\w)', '$2-$1')", "b-a", "varchar"),
        ("url_decode('auth0%7C1+x')", "auth0|1 x", "varchar"),
        ("split_part('auth0|1', '|', 2)", "1", "varchar"),
        ("element_at(ARRAY['a', 'b'], -1)", "b", "varchar"),
        ("element_at(MAP(ARRAY['a'], ARRAY[1]), 'a')", "1", "integer"),
        ("element_at(MAP(ARRAY['a'], ARRAY[1]), 'b')", None, "integer"),
        ("cardinality(ARRAY[1, 2])", "2", "bigint"),
        ("contains(ARRAY['a'], 'a')", "true", "boolean"),
        ("array_join(ARRAY['a', 'b'], ',')", "a,b", "varchar"),
        ("transform(ARRAY[1, 2], x -> x + 1)", "[2, 3]", "array"),
        ("try(CAST('x' AS bigint))", None, "bigint"),
        ("try_cast('5' AS bigint)", "5", "bigint"),
        ("7 / 2", "3", "bigint"),
        ("7 / 2e0", "3.5", "double"),
        ("1e10", "1.0E10", "double"),
        ("CAST(ROW(1, 'x') AS ROW(a integer, b varchar))", "{a=1, b=x}", "row"),
        ("CAST('1.50' AS decimal(4, 2))", "1.50", "decimal"),
        ("'it''s ' || lower('X')", "it's x", "varchar"),
    ],
)
def test_trino_functions(archive: Archive, expression: str, value: str | None, kind: str | None) -> None:
    found = archive.value(expression)
    assert found == (value, kind or found[1])


def test_aggregates(archive: Archive) -> None:
    answer = archive.query(
        """
        SELECT count(*) AS n, approx_distinct(user_id) AS users, max_by(log_id, event_time) AS latest,
               min_by(log_id, event_time) AS first, count_if(type = 'sapi') AS calls, sum(1) AS total,
               array_agg(log_id ORDER BY log_id) AS ids, max(event_time) AS last, count(*) / 3 AS third,
               count(*) FILTER (WHERE type = 's') AS logins, arbitrary(dt) IS NOT NULL AS some
        FROM tenant_logs
        """
    )
    assert answer.rows == [
        ["4", "2", "4", "1", "2", "4", "[1, 2, 3, 4]", "2026-01-06 00:00:00.000 UTC", "1", "1", "true"]
    ]
    assert answer.types[:6] == ["bigint", "bigint", "varchar", "varchar", "bigint", "bigint"]


def test_windows_and_set_operations(archive: Archive) -> None:
    answer = archive.query(
        """
        SELECT log_id, row_number() OVER (PARTITION BY dt ORDER BY event_time DESC) AS n FROM tenant_logs
        UNION ALL SELECT 'end', 0 ORDER BY 1
        """
    )
    assert answer.rows == [["1", "3"], ["2", "2"], ["3", "1"], ["4", "1"], ["end", "0"]]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT * FROM nothing", "TABLE_NOT_FOUND: Table 'awsdatacatalog."),
        ("SELECT nothing FROM logs", "COLUMN_NOT_FOUND"),
        ("SELECT detail.nothing FROM logs", "nothing"),
        ("SELECT no_such_function(id) FROM logs", "FUNCTION_NOT_FOUND"),
        ("SELECT FROM WHERE", "SYNTAX_ERROR"),
        ("SELECT * FROM logs WHERE hour = 9", "TYPE_MISMATCH: Cannot apply operator: varchar and integer"),
        ("SELECT * FROM logs WHERE time > current_timestamp", "TYPE_MISMATCH"),
        ("SELECT * FROM logs WHERE dt BETWEEN DATE '2026-01-01' AND DATE '2026-01-02'", "TYPE_MISMATCH"),
        ("DELETE FROM logs", "NOT_SUPPORTED"),
    ],
)
def test_failed_query_says_why(archive: Archive, sql: str, reason: str) -> None:
    assert reason in archive.failure(sql)


def test_conversions_of_the_serde(archive: Archive) -> None:
    query = archive.lines(
        {
            "n": "bigint",
            "b": "boolean",
            "d": "double",
            "m": "decimal(5,2)",
            "t": "timestamp",
            "day": "date",
            "s": "string",
        },
        '{"n":"7","b":"TRUE","d":1.5,"m":1.005,"t":"2026-01-05T09:10:00.5+01:00","day":"2026-01-05","s":1E400}',
        '{"N":9223372036854775808,"b":1,"d":"x","m":1000,"t":1767604200,"day":"soon","s":true}',
        '{"n":1.5,"b":{},"d":1e400,"m":"1","t":1767604200123,"day":null,"s":[1, {"a" : "\\ud800</"}]} trailing',
        "",
        "not an object",
    )
    answer = query("SELECT * FROM {t}")
    assert answer.rows == [
        ["7", "true", "1.5", "1.01", "2026-01-05 08:10:00.500", "2026-01-05", "1E+400"],
        [None, "false", None, None, "2026-01-05 09:10:00.000", None, "true"],
        [None, "false", "Infinity", "1.00", "2026-01-05 09:10:00.123", None, '[1,{"a":"?<\\/"}]'],
        [None] * 7,
        [None] * 7,
    ]


def test_keys_and_structures_of_the_serde(archive: Archive) -> None:
    columns = {"user_id": "string", "tags": "array<struct<k:string,v:int>>", "extra": "map<string,string>"}
    query = archive.lines(
        columns, '{"User_ID":"a","tags":{"K":"x","v":1},"extra":{"Keep":{"a":1}}}', '{"user_id":"b","tags":[]}'
    )
    assert query("SELECT * FROM {t}").rows == [["a", "[{k=x, v=1}]", '{Keep={"a":1}}'], ["b", "[]", None]]

    query = archive.lines({"user_id": "string", "a_b": "string"}, '{"User_ID":"a","a.b":"x"}', case_insensitive="false")
    assert query("SELECT * FROM {t}").rows == [[None, None]]
    query = archive.lines({"a_b": "string"}, '{"a.b":"x"}', **{"dots.in.keys": "true"})
    assert query("SELECT * FROM {t}").rows == [["x"]]


def test_malformed_line_fails_the_query_unless_it_is_ignored(archive: Archive) -> None:
    lines = ('{"a":1}', '{"a":')
    with pytest.raises(AssertionError, match="HIVE_BAD_DATA: Error parsing JSON line"):
        archive.lines({"a": "int"}, *lines)("SELECT * FROM {t}")
    rows = archive.lines({"a": "int"}, *lines, **{"ignore.malformed.json": "true"})("SELECT * FROM {t}").rows
    assert rows == [["1"], [None]]
    with pytest.raises(AssertionError, match="an object can not be coerced to a INT"):
        archive.lines({"a": "int"}, '{"a":{}}')("SELECT * FROM {t}")


def test_tables_of_other_kinds_stay_with_ministack(archive: Archive) -> None:
    archive.aws.s3.put_object(Bucket=archive.bucket, Key="csv/x.csv", Body=b"1,a\n2,b\n")
    sql = f"""
        CREATE EXTERNAL TABLE lines_of_csv (n int, s string) ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
        LOCATION 's3://{archive.bucket}/csv/'
        """
    assert archive.execute(textwrap.dedent(sql).strip())["Status"]["State"] == "SUCCEEDED"
    assert archive.query("SELECT sum(n) FROM lines_of_csv").rows == [["3"]]


def test_a_table_of_whole_lines(archive: Archive) -> None:
    lines = ['{"a": "é \\\\N"}', "plain", "no JSON, {", "a\x01b"]
    archive.aws.s3.put_object(Bucket=archive.bucket, Key="lines/x.json", Body="\n".join(lines).encode())
    storage = {
        "Columns": [{"Name": "line", "Type": "string"}],
        "Location": f"s3://{archive.bucket}/lines/",
        "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
        "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", "Parameters": {}},
    }
    # As the archive's table: that the lines are JSON makes no other columns of them.
    table = {"Name": "whole_lines", "TableType": "EXTERNAL_TABLE", "StorageDescriptor": storage}
    table["Parameters"] = {"classification": "json"}
    archive.aws.glue.create_table(DatabaseName=archive.database, TableInput=table)
    # The separator ends a field; JSON text has no such character.
    assert [row[0] for row in archive.query("SELECT line FROM whole_lines").rows] == [*lines[:3], "a"]
