"""The committed files equal the output of `make generate`, and the root passes on every variable and output."""

from pipeline.terraform import CONFIGURATION
from tests.infra.deployed import MODULE
from tests.infra.generate import blocks, files


def test_the_committed_files_are_what_would_be_generated() -> None:
    for file, content in files().items():
        assert file.read_text("utf-8") == content, f"{file.name}: run make generate"


def test_the_root_passes_every_variable_on() -> None:
    call = blocks(CONFIGURATION / "main.tf", "module")["auth0_sync"]
    assert call.keys() - {"source", "providers"} == blocks(MODULE / "variables.tf", "variable").keys()


def test_the_module_reads_no_file_outside_itself() -> None:
    text = "".join(path.read_text() for path in MODULE.rglob("*.tf"))
    assert "path.root" not in text
    assert "path.module}/.." not in text
    assert 'provider "' not in text
