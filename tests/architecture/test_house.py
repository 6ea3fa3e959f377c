"""The house is as ARCHITECTURE.md, CHANGELOG.md and the design's rules say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qa_app import __version__, errors
from tests.conftest import REPOSITORY

MODULES = sorted((REPOSITORY / "qa_app").rglob("*.py"))
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")


def test_imports_go_one_way() -> None:
    """The import contracts of pyproject.toml hold."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md"])
def test_every_path_that_is_named_exists(document: str) -> None:
    """A document sends nobody to a file or folder that is not there."""
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    named = re.findall(r"`((?:qa_app|tests|samples|benchmarks|\.ci)/[\w./*-]*)`", text)
    missing = [path for path in {*links, *named} if not list(REPOSITORY.glob(path.rstrip("/")))]
    assert missing == []
    assert links or named


def test_every_room_is_walked_through() -> None:
    """ARCHITECTURE.md has a heading for each room of the package."""
    text = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in MODULES if path.name == "__init__.py"} - {"qa_app", "elasticsearch"}
    assert {room for room in rooms if f"qa_app/{room}/" not in text} == set()


def test_modules_stay_small_and_say_what_they_are() -> None:
    """No module is over 300 lines, and each begins with a docstring."""
    assert [path.name for path in MODULES if len(path.read_text(encoding="utf-8").splitlines()) > 300] == []
    assert [path.name for path in MODULES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))] == []


def test_only_settings_read_the_environment() -> None:
    """Nothing but settings.py reads environment variables; two modules set what other libraries read."""
    readers = {
        str(path.relative_to(REPOSITORY / "qa_app"))
        for path in MODULES
        if re.search(r"os\.(environ|getenv)", path.read_text(encoding="utf-8"))
    }
    assert readers <= {"settings.py", "__init__.py", "haystack_without_torch.py"}


def test_the_changelog_knows_the_version() -> None:
    """The version of the package has an entry."""
    assert f"## {__version__}" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_error_tree_is_drawn() -> None:
    """Every error stands in the drawing with its code, status and exit code."""
    drawing = errors.__doc__ or ""
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.QaAppError) and kind is not errors.QaAppError:
            line = next(line for line in drawing.splitlines() if name in line.split())
            assert str(kind.http_status) in line
            assert line.split()[line.split().index(str(kind.http_status)) + 1] == str(kind.exit_code)
            assert kind.code in line or kind is errors.FileRejectedError


def test_reasons_are_used_and_known() -> None:
    """Each reason of rejection is given somewhere, and none is given that is not listed."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in MODULES if path.name != "errors.py")
    assert {reason for reason in errors.REASONS if f'"{reason}"' not in source} == set()
