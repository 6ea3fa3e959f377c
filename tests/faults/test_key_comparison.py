"""A2: how long a comparison of keys takes tells nothing about them."""

from __future__ import annotations

import ast

import pytest

from tests.conftest import REPOSITORY

SECRET = {"key", "digest", "known", "presented"}


def telling(source: str) -> list[str]:
    """Comparisons of secrets that end at the first byte that differs."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for operator in node.ops)
        and any(isinstance(side, ast.Name) and side.id in SECRET for side in (node.left, *node.comparators))
    ]


@pytest.mark.case("A2")
def test_keys_are_compared_in_constant_time() -> None:
    """Where keys are looked at, none is compared by an operator, and compare_digest is what decides."""
    assert telling("if key == other: pass")
    assert telling("if digest in digests: pass")
    sources = {name: (REPOSITORY / "qa_app/api" / name).read_text() for name in ("keys.py", "protection.py")}
    assert not [found for source in sources.values() for found in telling(source)]
    assert "hmac.compare_digest(known, digest)" in sources["keys.py"]
