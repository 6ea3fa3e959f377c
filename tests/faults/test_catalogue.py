"""The cases of the catalogue have tests that bear their codes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import REPOSITORY
from tests.faults.cases import CASES, GROUPS, UNSHOWN


def marked(file: Path) -> Iterator[str]:
    """The codes in the ``case`` markers of a module."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.case":
            yield from (ast.literal_eval(code) for code in node.args)


def test_every_case_has_a_test() -> None:
    """Every code stands in a marker, and what stands in none is listed as such."""
    found = {code for file in (REPOSITORY / "tests").rglob("test_*.py") for code in marked(file)}
    assert found == set(CASES) - UNSHOWN


def test_every_case_has_a_group() -> None:
    """The table has a place for each."""
    assert {code[0] for code in CASES} == set(GROUPS)
    assert len(CASES) == 107
