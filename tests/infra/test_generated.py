"""What `make generate` writes is committed as it would write it now, and a root that passes everything on."""

from pathlib import Path

import pytest

from pipeline.terraform import CONFIGURATION
from tests.infra.deployed import MODULE
from tests.infra.generate import blocks, files


@pytest.mark.parametrize(("file", "content"), files().items(), ids=lambda value: getattr(value, "name", ""))
def test_the_committed_file_is_what_would_be_generated(file: Path, content: str) -> None:
    assert file.read_text("utf-8") == content, "run: make generate"


def test_the_root_passes_every_variable_on() -> None:
    call = blocks(CONFIGURATION / "main.tf", "module")["auth0_sync"]
    assert call.keys() - {"source", "providers"} == blocks(MODULE / "variables.tf", "variable").keys()


def test_the_module_reads_no_file_outside_itself() -> None:
    text = "".join(path.read_text() for path in MODULE.rglob("*.tf"))
    assert "path.root" not in text
    assert "path.module}/.." not in text
    assert 'provider "' not in text
