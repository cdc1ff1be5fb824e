import re
from pathlib import Path
from types import ModuleType

import pytest

from devstack.emulator import patches, patching


def module() -> ModuleType:
    made = ModuleType("ministack.services.example")
    made.run = lambda stream, record: "old"  # type: ignore[attr-defined]  # a made module
    return made


def test_replaced_function_is_returned() -> None:
    example = module()
    old = patching.replace(example, "run", lambda stream, record: "new")
    assert (old(1, 2), example.run(1, 2)) == ("old", "new")


def test_missing_function_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(patching.PatchError, match=r"ministack\.services\.example\.walk is gone.*adapt or remove"):
        patching.replace(module(), "walk", lambda: None)


def test_changed_parameters_are_an_error() -> None:
    with pytest.raises(patching.PatchError, match=r"takes \(stream, record\), not \(stream\)"):
        patching.replace(module(), "run", lambda stream: None)


def test_missing_name_names_the_patch_that_needs_it() -> None:
    with pytest.raises(patching.PatchError, match=r"example\._streams is gone\. Compare \S*test_patching"):
        patching.require(module(), "run", "_streams")


def test_operation_is_replaced_in_the_table_of_actions() -> None:
    example = module()
    example._ACTION_MAP = {"Run": lambda parameters: "old"}  # type: ignore[attr-defined]  # a made module
    old = patching.replace_action(example, "Run", lambda parameters: "new")
    assert (old({}), example._ACTION_MAP["Run"]({})) == ("old", "new")
    with pytest.raises(patching.PatchError, match=r"_ACTION_MAP\['Walk'\] is gone"):
        patching.replace_action(example, "Walk", lambda parameters: None)
    with pytest.raises(patching.PatchError, match=r"takes \(parameters\), not \(\)"):
        patching.replace_action(example, "Run", lambda: None)


def test_the_readme_has_every_patch_in_the_order_of_their_application() -> None:
    page = (Path(__file__).parents[2] / "devstack" / "README.md").read_text("utf-8")
    applied = [patch.__name__.rpartition(".")[2] for patch in patches.PATCHES]
    assert re.findall(r"^\| `(\w+)` \|", page, flags=re.M) == applied
