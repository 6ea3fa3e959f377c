from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_app.converters.extraction import MAX_META_CHARS, MAX_META_KEYS, bounded, normalise

_CONTROLS = "".join(map(chr, [*range(9), 0xE, 0x1B, 0x1F, 0x7F]))


@pytest.mark.case("F15")
@given(st.text(st.sampled_from("ab\r\n\t\f é\u0301ﬁ👩\u200d\u202e" + _CONTROLS)))
def test_normalising_drops_controls_and_nothing_else(text: str) -> None:
    """Every character that is not a control or a carriage return survives, in order and unchanged."""
    kept = normalise(text)
    assert not set(kept) & set(_CONTROLS + "\r")
    visible = [char for char in text if char not in _CONTROLS + "\r\n"]
    assert [char for char in kept if char != "\n"] == visible
    assert normalise(kept) == kept


def test_line_ends_become_newlines_one_for_one() -> None:
    """Windows, old Mac and vertical-tab line ends each count as one newline."""
    assert normalise("a\r\nb\rc\nd\x0be\r\r\n") == "a\nb\nc\nd\ne\n\n"


def test_composed_and_decomposed_letters_stay_apart() -> None:
    """Text is never brought into a normal form, since an answer must match the file's own code points."""
    assert normalise("é e\u0301 ﬁ Å") == "é e\u0301 ﬁ Å"


@given(
    st.dictionaries(
        st.text() | st.integers(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=20,
        ),
        max_size=60,
    )
)
def test_metadata_is_always_small_and_storable(found: dict[object, object]) -> None:
    """Whatever a file says of itself, what is kept is few, short, encodable scalars and flat lists of them."""
    meta = bounded(found)
    assert len(meta) <= MAX_META_KEYS
    for key, value in meta.items():
        assert 0 < len(key.encode("utf-8").decode()) <= MAX_META_CHARS
        for scalar in value if isinstance(value, list) else [value]:
            assert isinstance(scalar, str | int | float | bool)
            assert len(str(scalar).encode("utf-8").decode()) <= max(MAX_META_CHARS, 400)
            assert scalar == scalar


def test_metadata_is_cut_not_refused() -> None:
    """Values over the limit are cut, keys over it left out, and the first keys win."""
    meta = bounded({"long": "x" * 1000, "k" * 300: 1, "nested": {"a": 1}, "list": ["a", 2, None, {"b": 1}]})
    assert meta == {"long": "x" * MAX_META_CHARS, "list": ["a", 2]}
    assert list(bounded({letter * 2: 1 for letter in string.ascii_letters})) == [
        letter * 2 for letter in string.ascii_letters[:MAX_META_KEYS]
    ]
