"""The cases of the catalogue have tests that bear their codes."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.faults.cases import CASES, GROUPS, UNSHOWN
from tests.faults.table import RESULTS


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


#: Tests, the last of which may be told to skip.
_TESTS = """
import os, pytest
from tests.faults.cases import CASES

@pytest.mark.case("F1")
@pytest.mark.parametrize("number", [1000, 234])
def test_one(number, tally, figure):
    tally("files", number)
    figure("things", 3)

@pytest.mark.case(*list(CASES)[1:])
def test_others():
    if os.environ.get("LACKING"):
        pytest.skip("something is not here")
"""


@pytest.mark.parametrize(
    ("options", "lacking", "code", "last", "kept"),
    [
        ("", "", 0, "107 of 107 cases hold.", True),
        ("", "yes", 1, "1 of 107 cases hold.", True),
        ("-k one", "yes", 0, "1 of 1 cases hold. Others were not asked for.", False),
        ("cases/test_some.py", "yes", 0, "1 of 107 cases hold. Others were not asked for.", False),
        ("--collect-only", "", 0, "", False),
    ],
)
def test_a_case_that_was_not_tried_fails_the_whole(
    tmp_path: Path, options: str, lacking: str, code: int, last: str, kept: bool
) -> None:
    """The whole catalogue ends with 0 where every case holds, not where a test was skipped; only it keeps its table."""
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "test_some.py").write_text(_TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = cases\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.faults.table", "--long", *options.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "LACKING": lacking},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    assert f"\n{last}\n" in done.stdout
    assert ("| 2 hold | 1,234 files; 3 things |" in done.stdout) is bool(last)
    results = tmp_path / RESULTS
    assert results.exists() is kept
    assert not kept or results.read_text().endswith(f"\n{last}\n")
