"""The text of one file, and the bounds every format keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool
Meta: TypeAlias = dict[str, Scalar | list[Scalar]]

#: Beyond these, metadata is no longer something to filter by and would only swell the index.
MAX_META_KEYS = 32
MAX_META_CHARS = 256

MAX_TITLE_CHARS = 300

# C0 controls and DEL without tab, newline and form feed; the vertical tab is Word's line break and becomes one.
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading at code point ``start`` of the text; level 1 is the highest."""

    start: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class Extraction:
    """The text of one file.

    All offsets count code points of ``text``. ``page_starts[i]`` is where page i+1 starts; the tuple is empty where the
    format, or the file, has no pages. ``encoding`` is Python's name of the codec, for formats made of bytes that are
    text. ``meta`` is what the file says of itself (title, author, created as ISO date, front matter), bounded.
    """

    text: str
    media_type: str
    page_starts: tuple[int, ...] = ()
    headings: tuple[Heading, ...] = ()
    encoding: str | None = None
    meta: Meta = field(default_factory=dict)


def normalise(text: str) -> str:
    """Gives ``text`` with line ends as newlines and without control characters.

    Must happen before offsets are counted. Composed and decomposed letters stay as they are: an answer has to be found
    in the file with the file's own code points.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\x0b" in text:
        text = text.replace("\x0b", "\n")
    return _CONTROLS.sub("", text)


def heading_title(text: str) -> str:
    """Gives a heading's words on one line, bounded."""
    return " ".join(text.split())[:MAX_TITLE_CHARS]


#: What no store takes in the name of a field.
_UNFIT_FOR_KEYS = re.compile(r'[\x00-\x1f"\\\ud800-\udfff]|^\$')


def bounded(found: Mapping[object, object]) -> Meta:
    """Keeps what can be filtered by of what a file says of itself: short scalars and lists of them.

    Dates must come as ISO text. Everything else is left out, never an error: a file is worth its text.
    """
    meta: Meta = {}
    for key, value in found.items():
        if len(meta) == MAX_META_KEYS:
            break
        if not isinstance(key, str) or _UNFIT_FOR_KEYS.search(key) or not 0 < len(key.encode()) <= MAX_META_CHARS:
            continue
        if isinstance(value, list | tuple):
            scalars = [kept for item in value[:MAX_META_KEYS] if (kept := _scalar(item)) is not None]
            if scalars:
                meta[key] = scalars
        elif (kept := _scalar(value)) is not None:
            meta[key] = kept
    return meta


def _scalar(value: object) -> Scalar | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else None  # beyond that JSON readers round
    if isinstance(value, float):
        return value if abs(value) < 1e300 else None  # false for NaN and infinity, which JSON cannot carry
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", normalise(value)).strip()[:MAX_META_CHARS] or None
    return None
