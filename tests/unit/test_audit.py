"""The audit of the pinned packages: findings fail it, a database that does not answer does not."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import audit
from tests.audit import Exemption

TODAY = date(2026, 11, 26)
ID, ALIAS = "PYSEC-2026-1", "CVE-2026-1"


def answer(name: str = "evil", *findings: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": [*findings]}


def finding(**changed: Any) -> dict[str, Any]:
    return {"id": ID, "aliases": [ALIAS], "fix_versions": ["1.1"], "description": "bad"} | changed


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    directory = tmp_path / "requirements"
    directory.mkdir()
    (directory / "small.txt").write_text("a==1.0\n")
    (directory / "large.txt").write_text("a==1.0\nevil==1.0\n")
    (directory / audit.EXEMPT).write_text("")
    return directory


def pip_audit(directory: Path, script: str) -> str:
    """Return a pip-audit that notes its arguments and runs the script."""
    program = directory / "pip-audit"
    program.write_text(f'#!/bin/sh\necho "$@" >> {directory}/calls\n{script}\n')
    program.chmod(0o755)
    return str(program)


def prints(*answers: dict[str, Any]) -> str:
    return f"cat <<'END'\n{json.dumps({'dependencies': answers, 'fixes': []})}\nEND"


class TestMain:
    def test_a_finding_fails(self, requirements: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        program = pip_audit(tmp_path, prints(answer("a"), answer("evil", finding())) + "\nexit 1")
        assert audit.main(program, requirements) == 1
        assert capsys.readouterr().out.splitlines() == [
            f"requirements: evil==1.0: {ID} ({ALIAS}); fixed in 1.1",
            "Vulnerabilities: 2 packages, 0 exemptions, 1 problems",
        ]
        [first, second] = (tmp_path / "calls").read_text().splitlines()
        assert "large.txt" not in first
        assert "small.txt" in second
        assert "large.txt" in second

    def test_none_passes(self, requirements: Path, tmp_path: Path) -> None:
        assert audit.main(pip_audit(tmp_path, prints(answer("a"))), requirements) == 0

    @pytest.mark.parametrize(
        "script",
        [
            'echo "ERROR:pip_audit._cli:Could not connect to PyPI\'s vulnerability feed" >&2; exit 1',
            "echo 'requests.exceptions.ConnectionError: no route to host' >&2; exit 1",
            prints({"name": "a", "skip_reason": "Dependency not found on PyPI and could not be audited: a (1.0)"}),
        ],
    )
    def test_no_answer_is_skipped_aloud(
        self, requirements: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], script: str
    ) -> None:
        assert audit.main(pip_audit(tmp_path, script), requirements) == 0
        assert "Vulnerabilities: SKIPPED" in capsys.readouterr().out
        assert len((tmp_path / "calls").read_text().splitlines()) == 1

    def test_a_silent_database_is_skipped(
        self, requirements: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert audit.main(pip_audit(tmp_path, "exec sleep 60"), requirements, first_seconds=0.3) == 0
        assert "no answer in 0.3 seconds" in capsys.readouterr().out

    def test_another_failure_fails(self, requirements: Path, tmp_path: Path) -> None:
        program = pip_audit(tmp_path, "echo 'requirement a is not hashed' >&2; exit 1")
        with pytest.raises(SystemExit, match="not hashed"):
            audit.main(program, requirements)


class TestExemptions:
    def test_exemption_names_the_id_or_an_alias_in_one_package(self) -> None:
        answers = {"evil==1.0": answer("evil", finding())}
        for exempt in (Exemption(ID, "evil", "why", TODAY), Exemption(ALIAS, "evil", "why", TODAY)):
            assert not list(audit.problems(answers, [exempt], TODAY))
        assert len(list(audit.problems(answers, [Exemption(ID, "other", "why", TODAY)], TODAY))) == 2

    def test_exemption_without_a_finding_is_a_problem(self) -> None:
        [problem] = audit.problems({}, [Exemption(ID, "evil", "why", TODAY)], TODAY)
        assert "take the exemption away" in problem

    def test_exemption_of_more_than_a_year_ago_is_a_problem(self) -> None:
        old = Exemption(ID, "evil", "why", TODAY - timedelta(days=366))
        [problem] = audit.problems({"evil==1.0": answer("evil", finding())}, [old], TODAY)
        assert "judge it again" in problem

    @pytest.mark.parametrize("missing", ["id", "package", "reason", "date"])
    def test_each_field_is_needed(self, requirements: Path, missing: str) -> None:
        fields = {"id": '"x"', "package": '"y"', "reason": '"z"', "date": "2026-11-26"}
        lines = [f"{name} = {value}" for name, value in fields.items() if name != missing]
        (requirements / audit.EXEMPT).write_text("\n".join(["[[exempt]]", *lines]))
        with pytest.raises(TypeError, match=missing):
            audit.exemptions(requirements)

    def test_committed_exemptions_are_readable(self) -> None:
        assert all(one.reason for one in audit.exemptions(audit.REQUIREMENTS))


def test_every_file_of_pins_is_audited() -> None:
    pinned = {file.stem for file in audit.REQUIREMENTS.glob("*.in")}
    assert {file.stem for file in audit.files(audit.REQUIREMENTS)} == pinned
