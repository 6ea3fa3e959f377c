"""Sentences as spans of a text, by punctuation; built for speed and exact offsets, not for linguistics."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: Words whose full stop seldom ends a sentence.
_ABBREVIATIONS = frozenset(
    [
        "al",
        "approx",
        "apr",
        "art",
        "assoc",
        "aug",
        "ave",
        "bros",
        "ca",
        "capt",
        "cf",
        "ch",
        "co",
        "col",
        "corp",
        "dec",
        "dept",
        "dr",
        "ed",
        "eds",
        "eq",
        "est",
        "etc",
        "feb",
        "fig",
        "figs",
        "gen",
        "gov",
        "inc",
        "jan",
        "jr",
        "jul",
        "jun",
        "lt",
        "ltd",
        "mar",
        "messrs",
        "mr",
        "mrs",
        "ms",
        "mt",
        "nov",
        "oct",
        "op",
        "pp",
        "prof",
        "rep",
        "rev",
        "sen",
        "sep",
        "sept",
        "sgt",
        "sr",
        "st",
        "univ",
        "v",
        "vol",
        "vols",
        "vs",
        "e.g",
        "i.e",
        "u.s",
        "u.k",
    ]
)
#: Abbreviations only before a number, and else words that often end a sentence.
_BEFORE_NUMBERS = frozenset(["no", "nos"])
# A closing mark, quotes or brackets after it, white space, then something that can open a sentence; or a closing mark
# of a script that puts no space behind it; or an empty line. A run of marks matches from its first mark only, because
# trying it from each would cost the square of its length. One set of all that can come first stands first, because the
# text between is then passed over at a glance.
_BOUNDARY = re.compile(
    r"""[.!?…。！？｡।॥؟۔\n](?:"""
    r"""(?<=[.!?…])(?<![.!?…][.!?…])[.!?…]*["'”’»)\]]*(?P<space>\s+)(?=["'“‘«(\[]*[^\W_a-z])"""
    r"""|(?<=[。！？｡।॥؟۔])[。！？｡।॥؟۔]*["'”’»」』)\]]*\s*"""
    r"""|(?<=\n)[^\S\n]*\n\s*"""
    r""")"""
)
_EMPTY_LINE = re.compile(r"\n[^\S\n]*\n")
_LAST_WORD = re.compile(r"[^\s(\[\"'“‘]*\Z")
#: As many letters in a row are no abbreviation; most sentences' last words are told by that.
_LETTERS = 1 + max(map(len, _ABBREVIATIONS | _BEFORE_NUMBERS))


def sentence_spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Consecutive spans that cover ``text[start:end]`` without its outer white space; none is empty.

    White space between two sentences belongs to neither.
    """
    position = start
    for match in _BOUNDARY.finditer(text, start, end):
        if text[match.start()] == "." and _abbreviates(text, match) and not _EMPTY_LINE.search(match["space"]):
            continue
        yield from _trimmed(text, position, match.end())
        position = match.end()
    yield from _trimmed(text, position, end)


def _abbreviates(text: str, boundary: re.Match[str]) -> bool:
    """Whether the boundary is one full stop, and the word before it an initial or an abbreviation."""
    stop = boundary.start()
    letters = text[max(0, stop - _LETTERS) : stop]
    if (len(letters) == _LETTERS and letters.isalpha()) or text[stop + 1] in ".!?…":
        return False
    found = _LAST_WORD.search(text, max(0, stop - 12), stop)
    word = found[0] if found else ""
    if word.lower() in _BEFORE_NUMBERS:
        return text[boundary.end()].isdigit()
    return (len(word) == 1 and word.isupper()) or word.lower() in _ABBREVIATIONS


def _trimmed(text: str, start: int, end: int) -> tuple[tuple[int, int], ...]:
    """The span without its outer white space, or nothing."""
    span = text[start:end]
    left = span.lstrip()
    return ((end - len(left), start + len(span.rstrip())),) if left else ()
