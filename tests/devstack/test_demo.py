"""The demo's comparison with the truth, on traffic as large as people try, without a stack."""

import json
import re
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from devstack import demo
from devstack.traffic import Traffic
from pipeline.archive import questions


class Athena:
    """Answers a query with the ids of logs, as many as its LIMIT lets through."""

    def __init__(self, log_ids: list[str]) -> None:
        self.log_ids = log_ids
        self.limit = 0

    def start_query_execution(self, *, QueryString: str, **_: Any) -> Any:  # noqa: N803 - boto3's name
        self.limit = int(re.findall(r"LIMIT (\d+)", QueryString)[-1])
        return {"QueryExecutionId": "q1"}

    def get_query_execution(self, **_: Any) -> Any:
        return {"QueryExecution": {"Status": {"State": "SUCCEEDED"}}}

    def get_paginator(self, _: str) -> Any:
        return SimpleNamespace(paginate=lambda **_: [{"ResultSet": self.results()}])

    def results(self) -> Any:
        rows = [{"Data": [{"VarCharValue": log_id}]} for log_id in self.log_ids[: self.limit]]
        return {"Rows": rows, "ResultSetMetadata": {"ColumnInfo": [{"Name": "log_id", "Type": "varchar"}]}}


def test_a_user_with_more_changes_than_a_question_shows_has_them_all() -> None:
    traffic = Traffic(
        events=3000, users=300, seed=demo.FIRST_SEED, start=datetime(2026, 1, 15, tzinfo=UTC), malformed=1
    )
    events = list(traffic)
    changes = Counter(event.change.user_id for event in events if event.change)
    [(user_id, number)] = changes.most_common(1)
    assert number > questions.DEFAULT_LIMIT
    athena = Athena([event.log_id for event in events if quote(user_id, safe="") in json.dumps(event.detail)])
    stack: Any = SimpleNamespace(client=lambda _: athena, outputs={"glue_database": "d", "athena_workgroup": "w"})
    run = demo.Run(stack, demo.FIRST_SEED, 1, traffic.expected, datetime.now(UTC), {}, {})
    run.details |= {str(number): event.detail for number, event in enumerate(events)}
    answer = demo.who_changed(run, user_id)
    assert list(demo.compare_answer(run, user_id, answer)) == []
