"""docs/logs.md has every question and every column. ``python -m tests.unit.test_logs_docs`` writes its tables anew."""

from pathlib import Path

import pytest
import sqlglot
from sqlglot.expressions import Select

from pipeline.archive import questions
from tests.archive import CATALOG

PAGE = Path(__file__).parents[2] / "docs" / "logs.md"


def _questions() -> str:
    rows = ["| ask | answers | takes | columns | a finding is one |", "|---|---|---|---|---|"]
    for name in questions.names():
        question = questions.load(name)
        columns = [item.alias_or_name for item in sqlglot.parse_one(question.sql, into=Select, dialect="trino").selects]
        takes, names, finding = (
            ", ".join(f"`{word}`" for word in words) for words in (question.takes(), columns, question.finding)
        )
        rows.append(f"| `{name}` | **{question.title}.** {question.description} | {takes} | {names} | {finding} |")
    return "\n".join(rows)


def _columns(kind: str) -> str:
    sections = []
    for name, entry in CATALOG[kind].items():
        rows = [f"### {name}", "", "| column | type | holds |", "|---|---|---|"]
        columns = [*entry["columns"], *(CATALOG["partition_keys"] if kind == "tables" else [])]
        rows += [f"| `{column['name']}` | {column['type']} | {column['comment']} |" for column in columns]
        sections.append("\n".join(rows))
    return "\n\n".join(sections)


TABLES = {"questions": _questions(), "views": _columns("views"), "tables": _columns("tables")}


def with_tables(page: str) -> str:
    """Return the page with the tables of the code behind its markers, up to the next heading of the second level."""
    for marker, table in TABLES.items():
        before, mark, rest = page.partition(f"<!-- {marker} -->\n")
        _, heading, after = rest.partition("\n## ")
        page = f"{before}{mark}\n{table}\n{heading}{after}"
    return page


@pytest.mark.parametrize("marker", TABLES)
def test_the_page_has_the_tables_of_the_code(marker: str) -> None:
    page = PAGE.read_text("utf-8")
    assert f"<!-- {marker} -->\n\n{TABLES[marker]}\n" in page, "run python -m tests.unit.test_logs_docs"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
