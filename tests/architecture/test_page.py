"""What the page never does with what others wrote."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

MODULES = sorted((REPOSITORY / "ui").rglob("*.py"))
#: What Streamlit reads as Markdown in its first argument or its label.
MARKDOWN = frozenset(
    "button checkbox download_button error expander header info link_button markdown metric multiselect number_input "
    "page_link popover radio selectbox slider status subheader success text_input title toast warning".split()
)

#: Variables that hold numbers counted by the page, or words chosen in it.
OURS = frozenset(("count", "pages", "icon", "verdict", "title"))


def calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


@pytest.mark.case("U1")
def test_html_is_never_let_through() -> None:
    """Markdown takes no HTML anywhere, and scripts come from one module, whose texts are constant."""
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert "unsafe_allow_html" not in text
        assert "unsafe_allow_javascript" not in text or path.name == "parts.py"


@pytest.mark.case("U1")
def test_markdown_gets_no_text_of_others() -> None:
    """Where Streamlit reads Markdown, a name of a variable stands only within plain()."""
    loose = []
    for path in MODULES:
        for call in calls(path):
            if not (isinstance(call.func, ast.Attribute) and call.func.attr in MARKDOWN and call.args):
                continue
            if isinstance(call.func.value, ast.Name) and call.func.value.id == "st" and _loose(call.args[0]):
                loose.append(f"{path.name}:{call.lineno}")
    assert loose == []


def _loose(node: ast.expr) -> bool:
    """Whether a text has parts that are neither constant, nor counted, nor made plain."""
    if isinstance(node, ast.Constant):
        return False
    if isinstance(node, ast.IfExp):
        return _loose(node.body) or _loose(node.orelse)
    if isinstance(node, ast.JoinedStr):
        return any(_loose(part.value) for part in node.values if isinstance(part, ast.FormattedValue))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id not in ("plain", "len")
    return not (isinstance(node, ast.Name) and node.id in OURS)
