"""Metadata as exact tokens, one field of Elasticsearch for all of them.

Every value becomes ``key US type US value`` with US = U+001F, which no key holds. Types keep "2020" and 2020 apart;
numbers are written so that their order as text is their order as numbers. One field serves every filter, however many
keys there are, so the mapping never grows.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from qa_app.stores.metadata import Scalar, filterable

_SEPARATOR = "\x1f"
#: The character after the separator: the end of all tokens that share what stands before it.
_AFTER = "\x20"
TEXT, NUMBER, TRUTH, LENGTH = "s", "n", "b", "l"


def tokens_of(meta: Mapping[str, Any]) -> list[str]:
    """The tokens that filters see of a document's metadata."""
    tokens: dict[str, None] = {}
    for key, value in meta.items():
        if isinstance(value, str):
            tokens[f"{key}{_SEPARATOR}{TEXT}{_SEPARATOR}{value}"] = None  # nearly all there ever is
            continue
        values = filterable(value)
        for scalar in values:
            if isinstance(scalar, str) or _is_double(scalar):
                tokens[token(key, scalar)] = None
        if values and isinstance(value, list):
            tokens[length_token(key, len(value))] = None
    return list(tokens)


def token(key: str, value: Scalar) -> str:
    """The token of one value."""
    if isinstance(value, bool):
        return _SEPARATOR.join((key, TRUTH, "1" if value else "0"))
    if isinstance(value, str):
        return _SEPARATOR.join((key, TEXT, value))
    return _SEPARATOR.join((key, NUMBER, _sortable(float(value))))


def length_token(key: str, length: int) -> str:
    """The token of a list of ``length`` values."""
    return _SEPARATOR.join((key, LENGTH, str(length)))


def bounds(key: str, kind: str) -> tuple[str, str]:
    """Tokens of a key and type lie at or after the first text and before the second."""
    start = f"{key}{_SEPARATOR}{kind}"
    return start + _SEPARATOR, start + _AFTER


def before_all(key: str) -> str:
    """A text that sorts before all tokens of the key, and after those of the keys before it."""
    return key + _SEPARATOR


def value_of(token: str, key: str) -> tuple[bool, Scalar | None]:
    """Whether the token belongs to ``key``, and its value; None where it says a list's length."""
    if not token.startswith(key + _SEPARATOR):
        return False, None
    kind, _, text = token[len(key) + 1 :].partition(_SEPARATOR)
    if kind == TEXT:
        return True, text
    if kind == TRUTH:
        return True, text == "1"
    if kind == NUMBER:
        number = _number(text)
        return True, int(number) if number.is_integer() and abs(number) <= 2**53 else number
    return True, None


def _is_double(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _sortable(value: float) -> str:
    # IEEE 754 bits sort as unsigned integers once the sign bit of positives and all bits of negatives are flipped.
    # Adding 0.0 makes one zero of -0.0 and 0.0.
    (bits,) = struct.unpack(">Q", struct.pack(">d", value + 0.0))
    return f"{bits ^ (0xFFFFFFFFFFFFFFFF if bits >> 63 else 1 << 63):016x}"


def _number(text: str) -> float:
    bits = int(text, 16)
    (value,) = struct.unpack(">d", struct.pack(">Q", bits ^ (1 << 63 if bits >> 63 else 0xFFFFFFFFFFFFFFFF)))
    return float(value)
