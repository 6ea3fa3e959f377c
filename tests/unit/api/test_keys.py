"""API keys: how they are written, what they open, and how wrong ones are counted."""

from __future__ import annotations

import ast
import base64
import hashlib
from pathlib import Path

import pytest

from qa_app.api import keys as keys_module
from qa_app.api.keys import FailureLimit, parse_keys, presented
from qa_app.errors import SettingsError

READ, ADMIN = "read-key-0123456789", "admin-key-0123456789"


def test_a_key_has_the_scope_it_was_given() -> None:
    """A presented key gives its scope; another, a prefix or other case gives none."""
    keys = parse_keys(f" read:{READ} , admin:{ADMIN} ,")
    assert keys.scope(READ) == "read"
    assert keys.scope(ADMIN) == "admin"
    for wrong in ("", READ[:-1], READ.upper(), f"{READ} ", "schlüssel-mit-umlaut", "\udcff" * 20):
        assert keys.scope(wrong) is None


def test_a_key_can_be_kept_as_its_hash() -> None:
    """The setting may hold the SHA-256 of a key, from which the key cannot be told."""
    digest = hashlib.sha256(READ.encode()).hexdigest()
    assert parse_keys(f"write:sha256:{digest}").scope(READ) == "write"
    assert READ not in repr(parse_keys(f"write:{READ}"))


@pytest.mark.parametrize(
    "text",
    [READ, f"owner:{READ}", "read:short", "read:", f"read:{READ},admin:{READ}", "read:sha256:abc", "read:sha256:"],
)
def test_unfit_keys_are_refused_without_being_repeated(text: str) -> None:
    """A key without a scope, too short, given twice or no hash is a settings error that does not print the key."""
    with pytest.raises(SettingsError) as caught:
        parse_keys(text)
    assert READ not in str(caught.value)


def test_no_keys_at_all() -> None:
    """An empty setting means that there are no keys."""
    assert parse_keys("").digests == ()


@pytest.mark.parametrize(
    ("authorization", "api_key", "expected"),
    [
        ([f"Bearer {READ}"], [], (READ, False)),
        ([f"bearer  {READ}"], [], (READ, False)),
        ([], [READ], (READ, False)),
        (["Basic " + base64.b64encode(f"anyone:{READ}".encode()).decode()], [], (READ, True)),
        ([f"Bearer {READ}", f"Bearer {READ}"], [], (None, False)),
        ([f"Bearer {READ}"], [READ], (None, False)),
        (["Basic ***"], [], (None, True)),
        ([f"Digest {READ}"], [], (None, False)),
        ([], [], (None, False)),
    ],
)
def test_where_a_key_is_looked_for(
    authorization: list[str], api_key: list[str], expected: tuple[str | None, bool]
) -> None:
    """Bearer, X-API-Key and a browser's Basic are read; two keys at once are none."""
    assert presented(authorization, api_key) == expected


def test_wrong_keys_are_slowed_down() -> None:
    """After twenty failures within a minute a peer is told to wait, another peer is not."""
    limit = FailureLimit(most=20)
    assert [limit.failed("10.0.0.1") for _ in range(20)] == [0] * 20
    assert limit.failed("10.0.0.1") > 0
    assert limit.failed("10.0.0.2") == 0


def test_keys_are_never_compared_with_equality() -> None:
    """The module compares digests with hmac.compare_digest alone, whose time tells nothing."""
    tree = ast.parse(Path(keys_module.__file__).read_text())
    scope = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "scope")
    assert "compare_digest" in ast.unparse(scope)
    assert not [node for node in ast.walk(scope) if isinstance(node, ast.Compare)]
