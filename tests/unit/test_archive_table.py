"""The table, its view and the questions: consistent with each other, and right when they are run on traffic.

DuckDB stands in for Athena, by way of sqlglot, which also checks that the SQL is Trino's.
"""

import gzip
import json
import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from urllib.parse import unquote

import duckdb
import pytest
import sqlglot
from botocore.session import get_session
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from pipeline.archive import athena, questions
from pipeline.archive.literals import bind, literal
from pipeline.traffic import Traffic, envelope

TABLE = json.loads((files("pipeline.archive") / "table.json").read_text("utf-8"))
VIEW_SQL = "\n".join(TABLE["view_sql"])
COLUMNS = {column["name"]: column["type"] for column in TABLE["columns"]}
TRINO_TO_DUCKDB = {"varchar": "VARCHAR", "integer": "INTEGER", "timestamp(3)": "TIMESTAMP_MS"}


def envelope_bytes(event):
    return json.dumps(event, ensure_ascii=False).encode() + b"\n"


def duckdb_sql(sql):
    return sqlglot.transpile(sql, read="athena", write="duckdb")[0]


def duckdb_type(hive):
    return exp.DataType.build(hive, dialect="hive").sql("duckdb")


@pytest.fixture(scope="module")
def traffic():
    traffic = Traffic(events=1500, users=60, seed=5, malformed=1)
    traffic.events = list(traffic)
    return traffic


EVENT_STREAM = {
    "version": "0", "id": "e1", "detail-type": "user.updated", "source": "aws.partner/auth0.com/x/auth0.events",
    "account": "1", "time": "2026-01-15T09:00:00Z", "region": "us-east-1", "resources": [],
    "detail": {
        "specversion": "1.0", "type": "user.updated", "source": "urn:auth0:acme", "id": "evt_1234567890123456789012",
        "time": "2026-01-15T08:59:59.123Z", "a0tenant": "acme", "a0stream": "est_1",
        "data": {"object": {"user_id": "auth0|1", "updated_at": "2026-01-15T08:59:59.116Z"}},
    },
}  # fmt: skip


def preview(number):
    """What Auth0's dashboard shows as an example has an empty log_id, which must not make two logs one."""
    return {"id": f"p{number}", "time": "2026-01-15T09:00:00Z", "detail": {"log_id": "", "data": {"type": "s"}}}


def odd(number, log):
    return {"id": f"o{number}", "time": "not a time", "detail": {"log_id": f"odd{number}", "data": log}}


ODD = [
    odd(1, {"type": "xyz", "date": "yesterday", "details": [1, {"Mixed": "Case"}]}),
    odd(2, {"type": "sapi", "details": {"request": {"method": "post", "path": "/api/v2/users/auth0%7Ca+b%ZZ/roles"}}}),
    odd(
        3, {"type": "sapi", "details": {"request": {"method": "post", "path": "/api/v2/users/auth0%7Ca+b%2541/roles"}}}
    ),
    odd(4, {"type": "sapi", "details": {"request": {"method": "get", "path": "/api/v2/users-by-email/x"}}}),
]


@pytest.fixture(scope="module")
def archive(traffic, tmp_path_factory):
    """A database with the table as the description has it, over gzip JSON lines, and the view."""
    folder = tmp_path_factory.mktemp("archive") / "logs" / "dt=2026-01-15" / "hour=09"
    folder.mkdir(parents=True)
    lines = [envelope(event) for event in traffic.events] + [EVENT_STREAM, preview(1), preview(2), *ODD]
    with gzip.open(folder / "part-1.json.gz", "wb") as file:
        file.writelines(map(envelope_bytes, lines))
    renamed = {
        name: TABLE["serde"]["parameters"].get(f"mapping.{name}", name) for name in COLUMNS
    }  # column name → JSON key
    wanted = ", ".join(f"'{renamed[name]}': '{duckdb_type(kind)}'" for name, kind in COLUMNS.items())
    selected = ", ".join(f'"{key}" AS "{name}"' for name, key in renamed.items())
    database = duckdb.connect()
    database.execute("SET TimeZone = 'Asia/Tokyo'")  # the answers must not depend on it
    database.execute(
        f"CREATE VIEW logs AS SELECT {selected}, dt::VARCHAR AS dt, hour::VARCHAR AS hour FROM read_json("
        f"'{folder.parent.parent}/*/*/*.gz', format = 'newline_delimited', columns = {{{wanted}}}, "
        "hive_partitioning = true, hive_types_autocast = false)"
    )
    database.execute(f"CREATE TABLE {TABLE['view']} AS {duckdb_sql(VIEW_SQL)}")
    return database


def rows(archive, sql):
    answer = archive.execute(sql)
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


class TestDescription:
    @pytest.mark.parametrize("dialect", ["trino", "athena"])
    def test_the_view_selects_its_columns(self, dialect):
        select = sqlglot.parse_one(VIEW_SQL, dialect=dialect)
        assert [column.alias_or_name for column in select.selects] == [c["name"] for c in TABLE["view_columns"]]
        assert {table.name for table in select.find_all(exp.Table)} == {TABLE["table"]}

    def test_the_view_uses_only_fields_of_the_table(self):
        detail = exp.DataType.build(COLUMNS["detail"], dialect="hive")
        fields = {field.name: field.args["kind"] for field in detail.expressions}
        data = {field.name for field in fields["data"].expressions}
        assert set(re.findall(r'\bentry\."?(\w+)', VIEW_SQL)) <= data
        assert set(re.findall(r'\bdetail\."?(\w+)', VIEW_SQL)) <= set(fields)
        assert {"date", "type", "description", "client_id", "ip", "user_id", "details", "log_id", "object"} <= data
        assert {"log_id", "type", "id", "time"} <= set(fields)

    def test_the_day_can_be_pushed_below_the_window(self):
        """An engine may filter before it removes duplicates only by what they are partitioned by."""
        window = sqlglot.parse_one(VIEW_SQL, dialect="trino").find(exp.Window)
        assert "dt" in [part.name for part in window.args["partition_by"]]

    def test_view_types(self, archive):
        described = {row["column_name"]: row["column_type"] for row in rows(archive, "DESCRIBE tenant_logs")}
        assert described == {c["name"]: TRINO_TO_DUCKDB[c["type"]] for c in TABLE["view_columns"]}

    def test_every_column_of_the_table_is_text_or_made_of_it(self):
        """The reader converts nothing then, and an object in the place of text arrives as its JSON."""
        types = {column["name"]: column["type"] for column in TABLE["columns"] + TABLE["partition_keys"]}
        for kind in types.values():
            assert set(re.findall(r"[a-z0-9_]+(?=[,>]|$)", kind)) == {"string"}

    def test_glue_takes_it(self):
        assert len(TABLE["description"]) <= 2048
        assert len(TABLE["view_description"]) <= 2048
        for column in TABLE["columns"] + TABLE["partition_keys"]:
            assert set(column) == {"name", "type", "comment"}
            assert len(column["comment"]) <= 255
            assert column["name"] == column["name"].lower()
        assert all(isinstance(value, str) for value in TABLE["parameters"].values())
        assert all(isinstance(value, str) for value in TABLE["serde"]["parameters"].values())

    def test_partitions_are_projected(self):
        parameters = TABLE["parameters"]
        assert [key["name"] for key in TABLE["partition_keys"]] == ["dt", "hour"]
        assert parameters["projection.enabled"] == "true"
        for key in ("dt", "hour"):
            assert parameters[f"projection.{key}.type"] in ("date", "integer")
        # Terraform knows the bucket and the first day.
        assert not {"projection.dt.range", "storage.location.template"} & set(parameters)


class TestView:
    def test_each_log_once(self, archive, traffic):
        found = [row["log_id"] for row in rows(archive, "SELECT log_id FROM tenant_logs WHERE event_id NOT LIKE 'o%'")]
        assert found.count("") == 2
        assert sorted(i for i in found if i) == sorted(traffic.oracle.log_ids)

    def test_columns_are_those_of_the_log(self, archive, traffic):
        logs = {event.log_id: event.detail["data"] for event in traffic.events}
        for row in rows(archive, "SELECT * FROM tenant_logs WHERE environment_name IS NOT NULL"):
            log = logs[row["log_id"]]
            assert row["date"].isoformat(timespec="milliseconds") + "Z" == log["date"]
            for name in (
                "type",
                "description",
                "connection",
                "connection_id",
                "strategy",
                "hostname",
                "ip",
                "user_agent",
            ):
                assert row[name] == log.get(name)
            for name in ("user_id", "user_name", "client_id", "client_name"):
                assert row[name] == (log.get(name) or None)
            assert row["actor"] == (log.get("user_id") or log["client_id"])
            assert (json.loads(row["details"]) if row["details"] else None) == log.get("details")
            assert (row["dt"], row["hour"]) == ("2026-01-15", "09")

    def test_calls_of_the_management_api(self, archive, traffic):
        logs = {event.log_id: event for event in traffic.events}
        calls = rows(archive, "SELECT * FROM tenant_logs WHERE type = 'sapi' AND event_id NOT LIKE 'o%'")
        assert len(calls) > 500
        for row in calls:
            details = logs[row["log_id"]].detail["data"]["details"]
            request = details["request"]
            assert row["http_method"] == request["method"]
            assert row["http_path"] == request["path"]
            assert row["http_status"] == details["response"]["statusCode"]
            assert row["channel"] == request["channel"]
            assert row["actor_name"] == request["auth"]["user"].get("email")
            if logs[row["log_id"]].kind in ("create", "update", "delete", "duplicate") and row["target_user_id"]:
                segment = re.match("/api/v2/users/([^/]+)", request["path"])
                body = details["response"]["body"]
                assert row["target_user_id"] == (body.get("user_id") or unquote(segment[1]))
        about_users = {row["log_id"] for row in calls if row["target_user_id"]}
        for log_id, event in logs.items():
            if event.kind in ("create", "update", "delete", "malformed"):
                assert log_id in about_users
        assert any(row["http_path"].endswith("/roles") and "|" in (row["target_user_id"] or "") for row in calls)

    def test_odd_logs_do_not_stop_a_query(self, archive):
        found = {row["log_id"]: row for row in rows(archive, "SELECT * FROM tenant_logs WHERE event_id LIKE 'o%'")}
        assert found["odd1"]["date"] is None
        assert found["odd1"]["delivered_at"] is None
        assert json.loads(found["odd1"]["details"]) == [1, {"Mixed": "Case"}]
        assert "a+b" in found["odd2"]["target_user_id"]
        assert found["odd3"]["target_user_id"] == "auth0|a+b%41"  # decoded once, and a plus stays one
        assert found["odd4"]["target_user_id"] is None

    def test_event_stream_events_are_in_the_table_only(self, archive):
        row = rows(archive, "SELECT detail, detail_type FROM logs WHERE id = 'e1'")[0]
        assert row["detail_type"] == row["detail"]["type"] == "user.updated"
        assert json.loads(row["detail"]["data"]["object"])["user_id"] == "auth0|1"
        assert rows(archive, "SELECT 1 FROM tenant_logs WHERE event_id = 'e1'") == []


class TestQuestions:
    def run(self, archive, name, **parameters):
        question = questions.load(name)
        given = {"since": "2026-01-01"} | parameters
        return rows(archive, duckdb_sql(bind(question.sql, question.values(given))))

    def test_all_can_be_asked(self):
        assert questions.names() == ["activity", "busiest_users", "failed_logins", "last_login", "who_changed_user"]
        for name in questions.names():
            question = questions.load(name)
            assert question.description.endswith(".")
            select = sqlglot.parse_one(question.sql, dialect="trino")
            assert len(list(select.find_all(exp.Placeholder))) == len(question.parameters)
            assert "since" in question.parameters  # or it would read all there is
            assert {table.name for table in select.find_all(exp.Table)} == {TABLE["view"]}

    def test_who_changed_user(self, archive, traffic):
        events = [e for e in traffic.events if e.kind in ("create", "update", "delete")]
        user_id = max({e.user_id for e in events}, key=lambda u: sum(e.user_id == u for e in events))
        expected = {e.log_id: e for e in events if e.user_id == user_id}
        answer = self.run(archive, "who_changed_user", user_id=user_id, limit=1000)
        changes = [row for row in answer if not row["http_path"].endswith("/roles")]
        assert {row["log_id"] for row in changes} == set(expected)
        assert [row["date"] for row in answer] == sorted((row["date"] for row in answer), reverse=True)
        for row in changes:
            request = expected[row["log_id"]].detail["data"]["details"]["request"]
            assert json.loads(row["request"]) == request["body"]
            assert row["actor_name"] == request["auth"]["user"].get("email")
        assert len(self.run(archive, "who_changed_user", user_id=user_id, limit=2)) == 2
        assert self.run(archive, "who_changed_user", user_id=user_id, since="2026-01-16") == []
        assert self.run(archive, "who_changed_user", user_id="' OR 1 = 1 --") == []

    def test_last_login(self, archive, traffic):
        logins = [e for e in traffic.events if e.detail["data"]["type"] == "s"]
        user_id = logins[0].user_id
        last = max((e for e in logins if e.user_id == user_id), key=lambda e: e.detail["data"]["date"])
        (row,) = self.run(archive, "last_login", user_id=user_id)
        assert (row["log_id"], row["ip"]) == (last.log_id, last.detail["data"]["ip"])

    def test_failed_logins(self, archive, traffic):
        answer = self.run(archive, "failed_logins", limit=100_000)
        failed = {
            e.log_id: e.detail["data"] for e in traffic.events if e.detail["data"]["type"] in ("fp", "fu", "limit_wc")
        }
        assert sum(row["attempts"] for row in answer) == len(failed)
        assert {row["ip"] for row in answer} == {log["ip"] for log in failed.values()}
        assert sum(row["blocked"] for row in answer) == sum(log["type"] == "limit_wc" for log in failed.values()) > 0

    def test_activity(self, archive, traffic):
        user_id = next(e.user_id for e in traffic.events if e.kind == "login" and e.user_id)
        answer = self.run(archive, "activity", user_id=user_id, limit=1000)
        types = {row["type"] for row in answer}
        assert {"s", "sapi"} <= types
        assert all(user_id in (row["actor"], row["target_user_id"]) for row in answer)

    def test_busiest_users(self, archive, traffic):
        answer = self.run(archive, "busiest_users", limit=100_000)
        calls = [e for e in traffic.events if e.kind in ("create", "update", "delete")]
        assert sum(row["changes"] for row in answer) >= len({e.log_id for e in calls})
        assert {row["target_user_id"] for row in answer} >= {e.user_id for e in calls}
        assert [row["changes"] for row in answer] == sorted((row["changes"] for row in answer), reverse=True)

    def test_values(self):
        question = questions.load("who_changed_user")
        user_id, since, limit = question.values({"user_id": "auth0|1"})
        assert (user_id, limit) == ("auth0|1", questions.DEFAULT_LIMIT)
        assert timedelta(questions.DEFAULT_DAYS - 1) < date.today() - date.fromisoformat(since) < timedelta(32)  # noqa: DTZ011
        assert question.values({"user_id": "u", "since": date(2026, 1, 2)})[1] == "2026-01-02"
        for wrong in ({}, {"user_id": "u", "colour": "red"}, {"user_id": "u", "since": "x' OR 1=1 --"}):
            with pytest.raises(ValueError, match=r"user_id is missing|colour is unknown|isoformat"):
                question.values(wrong)
        with pytest.raises(ValueError, match="activity, busiest_users"):
            questions.load("../who_changed_user")


class TestLiterals:
    @given(st.text().filter(lambda value: "\0" not in value).filter(lambda value: value.isprintable()))
    def test_text_comes_back_as_it_was(self, value):
        assert sqlglot.parse_one(f"SELECT {literal(value)}", dialect="trino").selects[0].this == value
        assert duckdb.execute(f"SELECT {literal(value)}").fetchone() == (value,)

    def test_other_types(self):
        moment = datetime.fromisoformat("2026-01-15T10:00:00.5+01:00")
        values = [1, -2.5, Decimal("1.50"), True, None, date(2026, 1, 2), moment]
        assert [literal(value) for value in values] == [
            "1", "DOUBLE '-2.5'", "DECIMAL '1.50'", "TRUE", "NULL", "DATE '2026-01-02'",
            "TIMESTAMP '2026-01-15 09:00:00.500'",
        ]  # fmt: skip

    @pytest.mark.parametrize("value", [float("nan"), Decimal("Infinity"), "a\0b", datetime(2026, 1, 1)])  # noqa: DTZ001
    def test_values_without_a_literal(self, value):
        with pytest.raises(ValueError, match=r"no literal|zero character|zone"):
            literal(value)

    def test_only_real_parameters_are_bound(self):
        sql = "SELECT '?''?', \"?\" /* ? */ FROM t -- ?\nWHERE a = ? AND b = ?"
        assert bind(sql, ["it's ?", 2]) == sql.removesuffix("a = ? AND b = ?") + "a = 'it''s ?' AND b = 2"
        for parameters in ([], [1], [1, 2, 3]):
            with pytest.raises(ValueError, match=f"2 parameters, but {len(parameters)}"):
                bind(sql, parameters)


class TestAthena:
    @pytest.fixture
    def client(self):
        return get_session().create_client(
            "athena", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )

    @pytest.fixture
    def stub(self, client, monkeypatch):
        self.waits = []
        monkeypatch.setattr(athena.time, "sleep", self.waits.append)
        with Stubber(client) as stub:
            yield stub
            stub.assert_no_pending_responses()

    def start(self, stub, sql="SELECT 1"):
        expected = {"QueryString": sql, "QueryExecutionContext": {"Database": "d"}, "WorkGroup": "w"}
        stub.add_response("start_query_execution", {"QueryExecutionId": "q1"}, expected)

    def state(self, stub, state, reason=None, **statistics):
        status = {"State": state} | ({"StateChangeReason": reason} if reason else {})
        execution = {"QueryExecution": {"Status": status, "Statistics": statistics}}
        stub.add_response("get_query_execution", execution, {"QueryExecutionId": "q1"})

    def page(self, stub, columns, data, token=None, after=None):
        results = {
            "ResultSet": {
                "Rows": [{"Data": [{} if v is None else {"VarCharValue": v} for v in row]} for row in data],
                "ResultSetMetadata": {"ColumnInfo": [{"Name": name, "Type": kind} for name, kind in columns]},
            }
        } | ({"NextToken": token} if token else {})
        expected = {"QueryExecutionId": "q1"} | ({"NextToken": after} if after else {})
        stub.add_response("get_query_results", results, expected)

    def test_pages_and_types(self, client, stub):
        columns = [
            ("a", "varchar"), ("b", "bigint"), ("c", "double"), ("d", "decimal"), ("e", "boolean"), ("f", "date"),
            ("g", "timestamp"), ("h", "timestamp with time zone"), ("i", "json"), ("j", "array"),
        ]  # fmt: skip
        full = (
            "x", "12", "1.5", "1.50", "true", "2026-01-02", "2026-01-02 03:04:05.678", "2026-01-02 03:04:05.678 UTC",
            '{"a": [1]}', "[a, b]",
        )  # fmt: skip
        self.start(stub, "SELECT * FROM t WHERE u = 'it''s'")
        self.state(stub, "QUEUED")
        self.state(stub, "RUNNING")
        self.state(stub, "SUCCEEDED", DataScannedInBytes=321)
        self.page(stub, columns, [[name for name, _ in columns], full], token="n")
        self.page(stub, columns, [[None] * 10, ["", *[None] * 9]], after="n")
        result = athena.query(client, "SELECT * FROM t WHERE u = ?", database="d", workgroup="w", parameters=["it's"])
        assert result.columns == tuple("abcdefghij")
        at = datetime.fromisoformat("2026-01-02T03:04:05.678Z")
        assert result.rows == [
            ("x", 12, 1.5, Decimal("1.50"), True, date(2026, 1, 2), at, at, {"a": [1]}, "[a, b]"),
            (None,) * 10,
            ("", *[None] * 9),
        ]
        assert (result.scanned_bytes, result.query_id) == (321, "q1")
        assert result.dicts()[0]["b"] == 12
        assert self.waits[0] < self.waits[1]

    def test_statements_without_a_header(self, client, stub):
        self.start(stub)
        self.state(stub, "SUCCEEDED")
        self.page(stub, [("tab_name", "string")], [["logs"], ["tenant_logs"]])
        result = athena.query(client, "SELECT 1", database="d", workgroup="w")
        assert result.rows == [("logs",), ("tenant_logs",)]

    @pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
    def test_failure_says_why(self, client, stub, state):
        self.start(stub)
        self.state(stub, state, "TABLE_NOT_FOUND: line 1:15")
        with pytest.raises(athena.QueryFailed, match="TABLE_NOT_FOUND: line 1:15; query q1 " + state.lower()):
            athena.query(client, "SELECT 1", database="d", workgroup="w")

    def test_timeout_cancels(self, client, stub):
        self.start(stub)
        self.state(stub, "RUNNING")
        stub.add_response("stop_query_execution", {}, {"QueryExecutionId": "q1"})
        with pytest.raises(athena.QueryTimedOut, match="0 seconds; query q1"):
            athena.query(client, "SELECT 1", database="d", workgroup="w", timeout=0)

    def test_interrupt_cancels(self, client, stub, monkeypatch):
        def interrupt(_):
            raise KeyboardInterrupt

        monkeypatch.setattr(athena.time, "sleep", interrupt)
        self.start(stub)
        self.state(stub, "RUNNING")
        stub.add_response("stop_query_execution", {}, {"QueryExecutionId": "q1"})
        with pytest.raises(KeyboardInterrupt):
            athena.query(client, "SELECT 1", database="d", workgroup="w")
