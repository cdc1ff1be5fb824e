"""Asking Athena: parameters as literals, waiting, typed rows, failures."""

import time
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
import sqlglot
from botocore.session import get_session
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st
from sqlglot.expressions import Select

from pipeline.archive import athena
from pipeline.archive.literals import Parameter, bind, literal


class TestLiterals:
    @given(st.text().filter(lambda value: "\0" not in value).filter(lambda value: value.isprintable()))
    def test_literal_of_text_parses_to_the_same_text(self, value: str) -> None:
        assert sqlglot.parse_one(f"SELECT {literal(value)}", into=Select, dialect="trino").selects[0].this == value
        assert duckdb.execute(f"SELECT {literal(value)}").fetchone() == (value,)

    def test_other_types(self) -> None:
        moment = datetime.fromisoformat("2026-01-15T10:00:00.5+01:00")
        values: list[Parameter] = [1, -2.5, Decimal("1.50"), True, None, date(2026, 1, 2), moment]
        assert [literal(value) for value in values] == [
            "1", "DOUBLE '-2.5'", "DECIMAL '1.50'", "TRUE", "NULL", "DATE '2026-01-02'",
            "TIMESTAMP '2026-01-15 09:00:00.500'",
        ]  # fmt: skip

    @pytest.mark.parametrize("value", [float("nan"), Decimal("Infinity"), "a\0b", datetime(2026, 1, 1)])  # noqa: DTZ001 - a time without zone is the point
    def test_values_without_a_literal(self, value: Any) -> None:
        with pytest.raises(ValueError, match=r"no literal|zero character|zone"):
            literal(value)

    def test_only_real_parameters_are_bound(self) -> None:
        sql = "SELECT '?''?', \"?\" /* ? */ FROM t -- ?\nWHERE a = ? AND b = ?"
        assert bind(sql, ["it's ?", 2]) == sql.removesuffix("a = ? AND b = ?") + "a = 'it''s ?' AND b = 2"
        for parameters in ([], [1], [1, 2, 3]):
            with pytest.raises(ValueError, match=f"2 parameters, but {len(parameters)}"):
                bind(sql, parameters)


class TestAthena:
    @pytest.fixture
    def client(self) -> Any:
        return get_session().create_client(
            "athena", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )

    @pytest.fixture
    def stub(self, client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
        self.waits: list[float] = []
        monkeypatch.setattr(time, "sleep", self.waits.append)
        with Stubber(client) as stub:
            yield stub
            stub.assert_no_pending_responses()

    def start(self, stub: Stubber, sql: str = "SELECT 1") -> None:
        expected = {"QueryString": sql, "QueryExecutionContext": {"Database": "d"}, "WorkGroup": "w"}
        stub.add_response("start_query_execution", {"QueryExecutionId": "q1"}, expected)

    def state(self, stub: Stubber, state: str, reason: str | None = None, **statistics: int) -> None:
        status = {"State": state} | ({"StateChangeReason": reason} if reason else {})
        execution = {"QueryExecution": {"Status": status, "Statistics": statistics}}
        stub.add_response("get_query_execution", execution, {"QueryExecutionId": "q1"})

    def page(
        self,
        stub: Stubber,
        columns: list[tuple[str, str]],
        data: list[Sequence[str | None]],
        token: str | None = None,
        after: str | None = None,
    ) -> None:
        results = {
            "ResultSet": {
                "Rows": [{"Data": [{} if v is None else {"VarCharValue": v} for v in row]} for row in data],
                "ResultSetMetadata": {"ColumnInfo": [{"Name": name, "Type": kind} for name, kind in columns]},
            }
        } | ({"NextToken": token} if token else {})
        expected = {"QueryExecutionId": "q1"} | ({"NextToken": after} if after else {})
        stub.add_response("get_query_results", results, expected)

    def test_pages_and_types(self, client: Any, stub: Stubber) -> None:
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

    def test_value_outside_of_pythons_range_stays_text(self, client: Any, stub: Stubber) -> None:
        columns = [("a", "date"), ("b", "timestamp"), ("c", "json"), ("d", "json")]
        row = ("20000-01-02", "20000-01-02 03:04:05.678", "9" * 5000, "[" * 5000 + "]" * 5000)
        self.start(stub)
        self.state(stub, "SUCCEEDED")
        self.page(stub, columns, [[name for name, _ in columns], row])
        assert athena.query(client, "SELECT 1", database="d", workgroup="w").rows == [row]

    def test_statements_without_a_header(self, client: Any, stub: Stubber) -> None:
        self.start(stub)
        self.state(stub, "SUCCEEDED")
        self.page(stub, [("tab_name", "string")], [["logs"], ["tenant_logs"]])
        result = athena.query(client, "SELECT 1", database="d", workgroup="w")
        assert result.rows == [("logs",), ("tenant_logs",)]

    @pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
    def test_failed_query_raises_athenas_reason(self, client: Any, stub: Stubber, state: str) -> None:
        self.start(stub)
        self.state(stub, state, "TABLE_NOT_FOUND: line 1:15")
        with pytest.raises(athena.QueryFailed, match="TABLE_NOT_FOUND: line 1:15; query q1 " + state.lower()):
            athena.query(client, "SELECT 1", database="d", workgroup="w")

    def test_timeout_cancels(self, client: Any, stub: Stubber) -> None:
        self.start(stub)
        self.state(stub, "RUNNING")
        stub.add_response("stop_query_execution", {}, {"QueryExecutionId": "q1"})
        with pytest.raises(athena.QueryTimedOut, match="0 seconds; query q1"):
            athena.query(client, "SELECT 1", database="d", workgroup="w", timeout=0)

    def test_interrupt_cancels(self, client: Any, stub: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(_: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(time, "sleep", interrupt)
        self.start(stub)
        self.state(stub, "RUNNING")
        stub.add_response("stop_query_execution", {}, {"QueryExecutionId": "q1"})
        with pytest.raises(KeyboardInterrupt):
            athena.query(client, "SELECT 1", database="d", workgroup="w")
