"""Findings: the identity of a row, and the size of a message."""

import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot.expressions import Select

from pipeline.archive import findings, questions

MFA = questions.load("mfa_weakened")
WATCHABLE = [question for question in map(questions.load, questions.names()) if question.finding]
TEXT = st.text("aé|'\n\r\u202e\u200b\u2028\x07\ud800\U0001f600\u3000")
values = st.none() | TEXT | st.integers()
rows = st.lists(
    st.fixed_dictionaries({"date": values, "log_id": st.none() | st.text("ab", max_size=2), "user": values})
)


@given(rows)
def test_each_finding_is_there_once_in_the_order_of_the_rows(rows: list[dict[str, Any]]) -> None:
    identities = [("id", row["log_id"]) if row["log_id"] is not None else tuple(row.values()) for row in rows]
    found = findings.collect(MFA, rows)
    assert [finding.row for finding in found] == [
        row for number, row in enumerate(rows) if identities[number] not in identities[:number]
    ]
    assert len({finding.key for finding in found}) == len(found)
    assert [finding.key for finding in findings.collect(MFA, [*rows, *rows])] == [finding.key for finding in found]


@given(TEXT.filter(bool))
def test_a_key_holds_nothing_of_the_row(text: str) -> None:
    [finding] = findings.collect(MFA, [{"log_id": text}])
    assert finding.key.startswith("mfa_weakened#")
    assert len(finding.key) == len("mfa_weakened#") + 64


@given(rows.filter(bool), st.integers(100, 2_000))
def test_a_message_is_plain_fits_and_says_what_is_missing(rows: list[dict[str, Any]], size: int) -> None:
    found = findings.collect(MFA, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(findings, "LARGEST", size + 400)
        text = findings.message(MFA, found, "auth0-sync ask mfa_weakened")
    assert len(text.encode()) <= size + 400
    assert all(c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text)
    assert text.startswith(f"{MFA.title}: {len(found)} new\n")
    assert text.endswith("auth0-sync ask mfa_weakened\n")


def test_what_does_not_fit_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings.collect(MFA, [{"log_id": str(number), "actor": "a" * 900} for number in range(10)])
    monkeypatch.setattr(findings, "LARGEST", 4_000)
    text = findings.message(MFA, found, "…")
    told = text.count("log_id: ")
    assert 0 < told < 10
    assert f"\n… and {10 - told} more\n" in text


def test_a_value_cannot_pass_for_another_line() -> None:
    [finding] = findings.collect(MFA, [{"log_id": "1", "actor": "ada\n\nTo look further:\u202egnp.exe"}])
    assert "actor: ada\\u000a\\u000aTo look further:\\u202egnp.exe\n" in findings.message(MFA, [finding], "…")


def test_a_parameter_cannot_become_a_command() -> None:
    text = findings.command("acme", MFA, {"admin": "x'; rm -rf /\n"}, "2026-01-01")
    assert text.splitlines()[1] == """auth0-sync ask mfa_weakened since=2026-01-01 admin='x'"'"'; rm -rf /\\u000a'"""


@pytest.mark.parametrize("question", WATCHABLE, ids=lambda question: question.name)
def test_a_question_has_the_columns_that_it_is_watched_by(question: questions.Question) -> None:
    columns = {item.alias_or_name for item in sqlglot.parse_one(question.sql, into=Select, dialect="trino").selects}
    assert set(question.finding) <= columns
    assert not question.looks_back or "dt" in columns
    subject = findings.subject(f"{'n' * 16}-{'e' * 10}", question, 1000)
    assert subject.isascii()
    assert subject.endswith(question.title)


def test_a_row_without_an_identity_is_known_by_all_its_columns() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [{"log_id": None, "date": at}, {"log_id": None, "date": at.replace(hour=1)}]
    assert len(findings.collect(MFA, rows)) == 2
    assert len(findings.collect(replace(MFA, finding=("date",)), [rows[0], rows[0]])) == 1
