"""What may stand in a document's metadata.

The limits keep both stores alike: what one can filter by, the other can too. Nested values are kept and given back,
but cannot be filtered by.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from qa_app.errors import InvalidRequestError

Scalar: TypeAlias = str | int | float | bool

MAX_KEYS = 128
MAX_KEY_BYTES = 256
MAX_VALUE_BYTES = 4096
MAX_LIST = 256
MAX_TOTAL_BYTES = 256 * 1024
#: Beyond it, a double no longer tells neighbouring integers apart, and the stores would differ.
MAX_INTEGER = 2**53
#: Characters of a text that is surely within its limit, and the number of such values that surely are together: UTF-8
#: takes up to four bytes a character, and JSON two for a quote.
_SHORT = MAX_VALUE_BYTES // 4
_FEW = MAX_TOTAL_BYTES // (2 * MAX_KEY_BYTES + MAX_VALUE_BYTES + 16)
_UNFIT_KEY = re.compile(r'^\$|["\\\x00-\x1f\ud800-\udfff]')


# Remembered, because the same few keys come with every passage; what is refused is not kept.
@lru_cache(maxsize=1024)
def check_key(key: object) -> str:
    """``key`` if it can name a metadata field; raises InvalidRequestError."""
    if not isinstance(key, str) or not key:
        raise InvalidRequestError(f"metadata key {key!r} is not a non-empty text")
    if _UNFIT_KEY.search(key):
        raise InvalidRequestError(
            f"metadata key {key[:80]!r} begins with $ or holds a quote, backslash or control character"
        )
    if len(key.encode()) > MAX_KEY_BYTES:
        raise InvalidRequestError(f"metadata key {key[:40]!r}... is over {MAX_KEY_BYTES} bytes")
    return key


def check_scalar(value: object, what: str) -> Scalar:
    """``value`` if it is text, a number or a truth value within the limits; raises InvalidRequestError."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise InvalidRequestError(f"{what} holds half of a surrogate pair, which is not text") from None
        if "\x00" in value:
            raise InvalidRequestError(f"{what} holds a NUL character")
        if size > MAX_VALUE_BYTES:
            raise InvalidRequestError(f"{what} is over {MAX_VALUE_BYTES} bytes; shorten it")
        return value
    if isinstance(value, (int, float)):
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidRequestError(f"{what} is {value}, which is not a number")
        if abs(value) > MAX_INTEGER and isinstance(value, int):
            raise InvalidRequestError(f"{what} is beyond 2^53; give it as text")
        return value
    raise InvalidRequestError(f"{what} is not text, a number or true/false")


def checked(meta: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy of ``meta``; raises InvalidRequestError where it is over the limits."""
    meta = dict(meta or {})
    if len(meta) > MAX_KEYS:
        raise InvalidRequestError(f"metadata has {len(meta)} keys; at most {MAX_KEYS} are kept")
    small = len(meta) <= _FEW
    for key, value in meta.items():
        check_key(key)
        if isinstance(value, str) and len(value) <= _SHORT and value.isprintable():
            continue  # nearly all there ever is
        small = small and isinstance(value, (int, float))
        if isinstance(value, (str, int, float)):
            check_scalar(value, f"metadata {key!r}")
        elif isinstance(value, list) and len(value) > MAX_LIST:
            raise InvalidRequestError(f"metadata {key!r} has {len(value)} values; at most {MAX_LIST} are kept")
        elif value is not None and not isinstance(value, (list, dict)):
            raise InvalidRequestError(f"metadata {key!r} is a {type(value).__name__}; give text, a number or a list")
    if not small:
        _check_total(meta)
    return meta


def _check_total(meta: Mapping[str, Any]) -> None:
    try:
        size = len(json.dumps(meta, ensure_ascii=False, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"metadata cannot be written as JSON: {error}") from error
    if size > MAX_TOTAL_BYTES:
        raise InvalidRequestError(f"metadata take {size} bytes; at most {MAX_TOTAL_BYTES} are kept")


def filterable(value: object) -> list[Scalar]:
    """The values of a metadata field that filters see: a scalar itself, a flat list's elements, else none."""
    if isinstance(value, (str, int, float)):
        return [value]
    if isinstance(value, list) and all(isinstance(v, (str, int, float)) for v in value):
        return [v for v in value if not isinstance(v, str) or len(v.encode()) <= MAX_VALUE_BYTES]
    return []
