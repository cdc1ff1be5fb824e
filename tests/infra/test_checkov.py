"""Every exemption from Checkov has a reason and is in docs/security.md. `make check` runs Checkov itself."""

from pathlib import Path

import pytest

from tests.infra import scan
from tests.infra.scan import Exemption

SECURITY = scan.ROOT / "docs/security.md"

BUCKET = """
resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:Somebody else's job: see the handbook
  bucket = "a"
}

resource "aws_sqs_queue" "first" {
  # checkov:skip=CKV_AWS_27,CKV2_AWS_73
}
"""


@pytest.fixture
def found(tmp_path: Path) -> list[Exemption]:
    (tmp_path / "modules/archive").mkdir(parents=True)
    (tmp_path / "modules/archive/main.tf").write_text(BUCKET)
    return list(scan.exemptions(tmp_path))


def report(*failures: tuple[str, str, int, int], passed: int = 1) -> dict[str, object]:
    """Checkov's report: checks that failed, with file and lines."""
    failed = [
        {
            "check_id": check,
            "check_name": "Ensure all is well",
            "file_path": f"/{file}",
            "file_line_range": [first, last],
            "resource": "module.archive.aws_s3_bucket.this",
        }
        for check, file, first, last in failures
    ]
    return {"summary": {"passed": passed}, "results": {"failed_checks": failed, "parsing_errors": []}}


def test_every_exemption_says_why() -> None:
    assert scan.unexplained(scan.exemptions()) == []


def test_the_documentation_lists_them() -> None:
    lines = SECURITY.read_text().splitlines()
    start = lines.index("## Checkov's exemptions")
    documented = [line for line in lines[start:] if line.startswith("|")]
    assert documented == scan.table(scan.exemptions()), "python -m tests.infra.scan --table prints the new table"


def test_exemptions_are_found(found: list[Exemption]) -> None:
    assert [(exemption.check, exemption.resource, exemption.line) for exemption in found] == [
        ("CKV_AWS_18", "aws_s3_bucket.this", 3),
        ("CKV_AWS_27", "aws_sqs_queue.first", 8),
        ("CKV2_AWS_73", "aws_sqs_queue.first", 8),
    ]
    assert found[0].reason == "Somebody else's job: see the handbook"


def test_one_without_a_reason_is_refused(found: list[Exemption]) -> None:
    assert [line.partition(" ")[0] for line in scan.unexplained(found)] == ["modules/archive/main.tf:8:"] * 2


@pytest.mark.parametrize(
    "comment", ["#checkov:skip=:why not, after all", "#bridgecrew:skip=BC_AWS_1:why not, after all"]
)
def test_one_of_no_check_is_refused(tmp_path: Path, comment: str) -> None:
    (tmp_path / "main.tf").write_text(f'resource "aws_s3_bucket" "this" {{\n  {comment}\n}}\n')
    assert len(scan.unexplained(scan.exemptions(tmp_path))) == 1


def test_a_failure_that_is_exempt_is_none(found: list[Exemption]) -> None:
    assert scan.disagreements(report(("CKV_AWS_18", "modules/archive/main.tf", 2, 5)), found[:1]) == []


@pytest.mark.parametrize(
    "failure",
    [
        ("CKV_AWS_21", "modules/archive/main.tf", 2, 5),  # another check
        ("CKV_AWS_18", "modules/archive/main.tf", 6, 9),  # another resource
        ("CKV_AWS_18", "main.tf", 2, 5),  # another file
    ],
)
def test_another_failure_is_one_and_the_exemption_is_not_needed(
    found: list[Exemption], failure: tuple[str, str, int, int]
) -> None:
    check, file, first, _ = failure
    failed, unneeded = scan.disagreements(report(failure), found[:1])
    assert failed.startswith(f"{file}:{first}: {check} on module.archive.aws_s3_bucket.this")
    assert unneeded.startswith("modules/archive/main.tf:3: CKV_AWS_18 on aws_s3_bucket.this")


def test_a_scan_of_nothing_is_no_pass() -> None:
    assert scan.disagreements(report(passed=0), []) == ["Checkov has checked nothing."]
